# pilotlight with the embedded llama.cpp engine, on a CPU. See docs/operations.md.
FROM python:3.12-slim AS build
COPY . /src
RUN python -m venv /opt/pilotlight && /opt/pilotlight/bin/pip install --no-cache-dir "/src[all]"

FROM python:3.12-slim
# OpenMP's library, which llama.cpp is linked to
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --create-home --uid 10001 pilotlight \
    && install -d -o pilotlight -g pilotlight /var/cache/pilotlight /var/lib/pilotlight /etc/pilotlight
COPY --from=build /opt/pilotlight /opt/pilotlight
ENV PATH=/opt/pilotlight/bin:$PATH \
    XDG_CACHE_HOME=/var/cache \
    XDG_STATE_HOME=/var/lib \
    PYTHONUNBUFFERED=1
USER pilotlight
WORKDIR /etc/pilotlight
VOLUME ["/var/cache/pilotlight", "/var/lib/pilotlight"]
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
# The default stop signal, SIGTERM, lets running requests finish: give `docker stop` the time, and run with --init.
ENTRYPOINT ["pilotlight"]
CMD ["serve", "/etc/pilotlight/pilotlight.yaml", "--host", "0.0.0.0", "--port", "8080"]
