"""What of vLLM a start imports, by name; as data, since it changes with vLLM's versions. From 0.32.0."""

from __future__ import annotations

NEEDED = (
    "vllm.entrypoints.launchers.api_server.entry",
    "vllm.entrypoints.launchers.cli_args",
    "vllm.entrypoints.launchers.launcher",
    "vllm.entrypoints.serve.utils.api_utils",
    "vllm.utils.argparse_utils",
    "vllm.v1.engine.async_llm",
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.model_executor.models.registry",
    "vllm.model_executor.model_loader.default_loader",
    "uvloop",
    "uvicorn",
)
"""Without one of them this vLLM is not one that the guest was written for."""

COMMON = (
    # the API server; found as what a start imported that a zygote had not
    "vllm.transformers_utils.chat_templates.registry",
    "vllm.renderers.hf",
    "vllm.v1.metrics.reader",
    "vllm.entrypoints.anthropic.api_router",
    "vllm.entrypoints.cohere.api_router",
    "vllm.entrypoints.generate.api_router",
    "vllm.entrypoints.generate.generative_scoring.api_router",
    "vllm.entrypoints.generate.structured_decisions.api_router",
    "vllm.entrypoints.openai.chat_completion.api_router",
    "vllm.entrypoints.openai.chat_completion.batch_serving",
    "vllm.entrypoints.openai.completion.api_router",
    "vllm.entrypoints.openai.models.api_router",
    "vllm.entrypoints.openai.responses.api_router",
    "vllm.entrypoints.scale_out.derender.api_router",
    "vllm.entrypoints.scale_out.factories",
    "vllm.entrypoints.scale_out.render.api_router",
    "vllm.entrypoints.scale_out.token_in_token_out.api_router",
    "vllm.entrypoints.serve.elastic_ep.api_router",
    "vllm.entrypoints.serve.instrumentator.metrics",
    "vllm.entrypoints.serve.instrumentator.offline_docs",
    "vllm.entrypoints.serve.lora.api_router",
    "vllm.entrypoints.serve.profile.api_router",
    "vllm.entrypoints.serve.tokenize.api_router",
    "vllm.entrypoints.serve.utils.fingerprint",
    "vllm.entrypoints.serve.utils.orca_metrics",
    "vllm.entrypoints.serve.utils.sse_keep_alive",
    "vllm.plugins.lora_resolvers.filesystem_resolver",
    "vllm.plugins.lora_resolvers.hf_hub_resolver",
    "model_hosting_container_standards.sagemaker",
    "anyio._backends._asyncio",
    "multiprocessing.popen_fork",
    "prometheus_fastapi_instrumentator",
    "pydantic.v1",
    "fastapi.staticfiles",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.auto",
    # the engine
    "vllm.v1.core.kv_cache_coordinator",
    "vllm.v1.core.kv_cache_manager",
    "vllm.v1.core.sched.scheduler",
    "vllm.v1.sample.sampler",
    "vllm.v1.structured_output",
    # its workers
    "vllm.distributed.elastic_ep.elastic_execute",
    "vllm.model_executor.layers.quantization.online.base",
    "vllm.v1.pool.flash_maxsim.flash_maxsim_rerank",
    "transformers.file_utils",
    "transformers.models.auto.tokenization_auto",
)
"""That one of them is missing is no fault."""

ON_DEVICE = {
    "cpu": (
        "vllm.v1.worker.cpu_worker",
        "vllm.v1.attention.backends.cpu_attn",
        "vllm.v1.attention.backends.zentorch_sdpa",
        "vllm.utils.cpu_triton_utils",
    ),
    "cuda": ("vllm.v1.worker.gpu_worker", "vllm.v1.attention.backends.flash_attn"),
}
"""By vLLM's name for the kind of device; that for GPUs follows its source and was not run."""

ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
    "MixtralForCausalLM": "mixtral",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "Gemma3ForCausalLM": "gemma3",
    "Phi3ForCausalLM": "phi3",
}
"""Common ones. Of a model whose class is not imported vLLM starts another Python to look at it."""
