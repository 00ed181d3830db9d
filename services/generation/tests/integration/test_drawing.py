"""Local drawing over processes: replicas and retries draw the same picture."""

import asyncio
import hashlib
import sys

import pytest

from services.generation.adapters.drawing import paint

SCRIPT = """
import hashlib
from services.generation.adapters.drawing import paint
wish = {{"prompt": "a calm sea", "model": "local-sketch", "width": 1024, "height": 1024}}
content = paint.draw(seed={seed}, **wish)
print(hashlib.sha256(content).hexdigest())
"""


@pytest.mark.parametrize("seed", [7, 8, 9])
async def test_the_same_wish_gives_the_same_bytes_in_any_process(seed: int) -> None:
    here = paint.draw(prompt="a calm sea", seed=seed, model="local-sketch", width=1024, height=1024)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT.format(seed=seed), stdout=asyncio.subprocess.PIPE
    )
    there, _ = await process.communicate()
    assert there.decode().strip() == hashlib.sha256(here).hexdigest()
