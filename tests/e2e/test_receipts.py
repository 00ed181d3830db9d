"""A receipt as a person gets it, and what an auditor does with it."""

from pathlib import Path

from libs.proofs.tests import independent
from tests.e2e.system import System, until


async def test_a_generation_has_a_receipt_that_anybody_can_verify(
    system: System, tmp_path: Path
) -> None:
    url = system.status()["gateway_url"]
    async with system.person() as person:
        made = await person.call("POST", "/api/image/local", json={"prompt": "a quiet harbour"})
        path = f"/api/jobs/{made['jobId']}/receipt"

        async def is_sealed() -> bool:
            status, _ = await person.answer("GET", path)
            assert status in {200, 409}
            return status == 200

        await until(is_sealed, seconds=90)
        text = await person.read(path)
        _, keys = await person.download(f"{url}/.well-known/daygen-keys.json")
        async with system.person() as stranger:
            assert (await stranger.answer("GET", path))[0] == 404
    told = independent.verify(text, keys)
    assert told["job"]["outcome"] == "completed"
    assert told["credits"] == {"captured": 1, "held": 1, "released": 0}
    stored = await system.scalar(
        "SELECT array_agg(asset.sha256) FROM gallery.asset JOIN gallery.item ON asset_key = key"
        " WHERE job_id = $1",
        made["jobId"],
    )
    assert [each["sha256"] for each in told["job"]["images"]] == stored
    for name, content in (("receipt.json", text), ("keys.json", keys)):
        (tmp_path / name).write_bytes(content)
    words = ("receipt", "verify", str(tmp_path / "receipt.json"), "--keys")
    valid = system.command(*words, str(tmp_path / "keys.json"))
    assert valid.stdout.startswith("Valid: ")
    (tmp_path / "receipt.json").write_bytes(text.replace(b'"captured":1', b'"captured":0'))
    assert system.command(*words, str(tmp_path / "keys.json"), check=False).returncode == 1
    older = tmp_path / "checkpoint.txt"
    system.command("receipt", "checkpoint", "--out", str(older))
    assert system.command("receipt", "checkpoint", "--since", str(older)).returncode == 0
