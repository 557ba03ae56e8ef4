"""What work costs under each kind of price. US dollars; seconds; GB of 2**30 bytes; no free tiers.

The formulas are the sellers' own, as their price pages give them (the book names each). Nothing is rounded to a
seller's granularity but what is said: at a millisecond and more it changes a bill by less than a thousandth here.
"""

from pilotlight.cost.book import ActiveCpu, Dedicated, Function, Managed, Provisioned, ServerlessGpu, Tokens

MILLION = 1e6


def dedicated(price: Dedicated, gpus: float, seconds: float) -> float:
    """Rented all the time: gpus x seconds x price, whether they work or not."""
    return gpus * seconds * price.second_usd


def serverless_gpu(price: ServerlessGpu, gpu_seconds: float) -> float:
    """Billed seconds x price. Billed is from the beginning of a start to the end of its keep-alive, not only what a
    request runs."""
    return gpu_seconds * price.second_usd


def function(
    price: Function,
    *,
    memory_gb: float,
    requests: float,
    seconds: float,
    cold_starts: float = 0.0,
    init_seconds: float = 0.0,
) -> float:
    """Requests x their price + GB x seconds x price, where each request runs `seconds`.

    Each cold start adds GB x init seconds x price where initialisation is billed: AWS Lambda does so since 2025-08-01
    for all kinds of functions (aws.amazon.com/blogs/compute, "standardizes billing for INIT phase").
    """
    ran = requests * seconds + (cold_starts * init_seconds if price.init_billed else 0.0)
    return requests * price.million_requests_usd / MILLION + memory_gb * ran * price.gb_second_usd


def provisioned(
    price: Provisioned,
    *,
    memory_gb: float,
    instances: float,
    kept_seconds: float,
    requests: float = 0.0,
    seconds: float = 0.0,
) -> float:
    """Instances x GB x the seconds they are kept x price, and beside that requests and GB-seconds of what runs, at a
    price of their own. Requests beyond the instances are for `function`."""
    kept = instances * memory_gb * kept_seconds * price.gb_second_provisioned_usd
    ran = requests * seconds * memory_gb * price.gb_second_usd
    return kept + ran + requests * price.million_requests_usd / MILLION


def managed(price: Managed, *, instances: float, seconds: float, requests: float = 0.0) -> float:
    """Instances x hours x price x (1 + surcharge), and the requests."""
    hours = instances * seconds / 3600
    return hours * price.hour_usd * (1 + price.surcharge) + requests * price.million_requests_usd / MILLION


def active_cpu(
    price: ActiveCpu,
    *,
    active_seconds: float,
    present_seconds: float,
    memory_gb: float,
    vcpus: float = 1.0,
    requests: float = 0.0,
) -> float:
    """vCPUs x the seconds that they compute, and GB x the seconds that the instance is there, blocked or not."""
    cpu = vcpus * active_seconds / 3600 * price.vcpu_hour_usd
    memory = memory_gb * present_seconds / 3600 * price.gb_hour_usd
    return cpu + memory + requests * price.million_requests_usd / MILLION


def tokens(price: Tokens, input_tokens: float, output_tokens: float) -> float:
    """Tokens x price, in and out."""
    return (input_tokens * price.million_input_usd + output_tokens * price.million_output_usd) / MILLION
