"""What every engine does alike with a model's environment and templates."""

from pilotlight.spec.model import Model


def fill(template: str, port: int) -> str:
    return template.replace("${PORT}", str(port))


def environment(model: Model, port: int, devices: tuple[int, ...]) -> dict[str, str]:
    """Variables added to the server's own; what the operator set wins.

    Without assigned devices CUDA_VISIBLE_DEVICES is left as it is: a command that works in a shell works here. To
    keep a model off the GPUs, set it to the empty string in the model's `env`.
    """
    env: dict[str, str] = {}
    if devices:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, devices))
        env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # so that indices mean what NVML's mean
    env.update((name, fill(value, port)) for name, value in model.env.items())
    return env
