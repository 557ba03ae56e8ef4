"""Ray Serve in its default mode: its own HTTP proxy and one replica, which answers 1 KB by itself.

That is kinder to Ray than forwarding would be: the replica makes no call to an engine.
Usage: ray_app.py PORT, with the Python of an environment that has `ray[serve]`.
"""

import json
import signal
import sys

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

MESSAGE = {"role": "assistant", "content": "x" * 900}
BODY = json.dumps({"id": "chatcmpl-1", "choices": [{"index": 0, "message": MESSAGE}], "usage": {}})


@serve.deployment(max_ongoing_requests=1000)
class Answer:
    async def __call__(self, request: Request) -> Response:
        await request.body()
        return Response(BODY, media_type="application/json")


def end(*_: object) -> None:
    serve.shutdown()
    ray.shutdown()
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
serve.run(Answer.bind(), route_prefix="/", blocking=True)
