"""A provider's bill as an operator brings it, for calls that a simulated provider has answered."""

import json
from functools import partial
from pathlib import Path

from tests.e2e.system import System, until
from tests.e2e.test_providers import has_ended_well

HEADER = "reference,time,model,amount_usd,status"
ATTEMPTS = """
    SELECT string_agg(provider_references || ',' || to_json(occurred_at)::text || ','
                      || provider_cost_microusd, ';' ORDER BY occurred_at)
      FROM billing.usage WHERE provider = 'openai' AND job_id = ANY($1::uuid[])
"""


async def test_a_bill_is_compared_with_what_a_provider_was_asked(
    system: System, tmp_path: Path
) -> None:
    jobs = []
    async with system.person() as person:
        for number in range(3):
            body = {"prompt": f"a heron, {number}", "provider": "openai", "model": "chatgpt-image"}
            jobs.append((await person.call("POST", "/api/jobs", json=body))["jobId"])
        for job_id in jobs:
            await until(partial(has_ended_well, person, job_id), seconds=90)
    told = str(await system.scalar(ATTEMPTS, jobs)).replace('"', "").split(";")
    lines = []
    for reference, at, microusd in (each.split(",") for each in told):
        assert reference.startswith("req_")
        lines.append(f"{reference},{at},gpt-image-1.5,{int(microusd) / 1e6:.6f},ok")
    file = tmp_path / "bill.csv"

    def reconcile(*rows: str, flags: tuple[str, ...] = ("--json",)) -> tuple[int, str]:
        file.write_text("\n".join((HEADER, *rows, "")))
        done = system.command("reconcile", "openai", str(file), *flags, check=False)
        return done.returncode, done.stdout or done.stderr

    code, answer = reconcile(*lines, flags=("--json", "--dry-run"))
    assert (code, json.loads(answer)["findings"]) == (0, {"matched": 3}), answer
    # The middle one is left out, the first doubled, and the last for nothing.
    first, _, last = lines
    planted = (first, first, last.replace(last.split(",")[3], "0"))
    code, answer = reconcile(*planted)
    body = json.loads(answer)
    kinds = {each["finding"] for each in body["flaggedEntries"]}
    assert (code, kinds >= {"doubled", "zero_cost"}) == (1, True), answer
    code, again = reconcile(*planted, flags=())
    assert (code, "nothing is changed" in again) == (1, True), again
    code, answer = reconcile(first, "too,short", flags=())
    assert (code, "Line 3: there are 2 cells below 5 columns" in answer) == (2, True), answer
    assert await system.scalar("SELECT count(*) FROM billing.bill") == 1
