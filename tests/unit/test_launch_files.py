"""Files of `dagc launch`: scripts that start what was said, manifests that published schemas take."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dagc.cli.launch import launch as command
from dagc.driver.launch import Launched, launch, launch_files
from dagc.export.launch.quoting import line, quoted, written
from dagc.export.launch.yaml_text import yaml_text
from dagc.source import Source
from tests.harness.engine_parsers import parsed

SCHEMAS = Path(__file__).parent / "schemas"
POOLS = "prefill < dp 2 < ep 16 > > | decode < ep 32 [redundant 32] >"
FACTS = (
    "model deepseek-v3\ncluster h100-sxm x 64\nworkload { batch 2048 prompt 4000 output 1000 draft 1 accept 80 % }\n"
)
PLANS = {
    "pools": ("pools", POOLS),
    "nodes": ("main", "pp 2 < ep 16 ; dp 2 < tp 8 > >"),
    "one": ("one", "ep 8"),
    "copies": ("three_copies", "dp 3 < tp 8 >"),
    "small": ("small", "dp 5 < tp 2 >"),
}
ENGINES = ("vllm", "vllm@0.11.0", "sglang", "sglang@0.5.9", "trtllm")
FORMS = ("shell", "docker", "slurm", "kubernetes", "dynamo")


def launched(plan: str, engine: str, facts: str = FACTS) -> Launched:
    name, text = PLANS[plan]
    title, _, version = engine.partition("@")
    block = f'engine {title} {{ version "{version}" }}' if version else f"engine {title}"
    (one,) = launch(Source("plan.moe", f"{facts}{block}\nstrategy {name} = {text}\n")).launched
    return one


def files(plan: str, engine: str, form: str) -> dict[str, str]:
    one = launched(plan, engine)
    found = {} if one.refusals else launch_files(one, form)
    return {} if isinstance(found, str) else found


def manifests(plan: str, engine: str, form: str) -> list[dict[str, Any]]:
    return [one for text in files(plan, engine, form).values() for one in yaml.safe_load_all(text)]


@pytest.mark.parametrize("engine", ENGINES)
def test_shells_take_the_scripts(engine: str) -> None:
    for plan in PLANS:
        texts = [text for form in FORMS[:3] for text in files(plan, engine, form).values()]
        maps = [one for one in manifests(plan, engine, "kubernetes") if one["kind"] == "ConfigMap"]
        for text in [*texts, *(script for one in maps for script in one["data"].values())]:
            checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
            assert checked.stderr == ""


@pytest.mark.parametrize("engine", ENGINES)
def test_published_schemas_take_the_manifests(engine: str) -> None:
    schemas = {
        kind: Draft202012Validator(json.loads((SCHEMAS / f"{kind.casefold()}.json").read_text(encoding="utf-8")))
        for kind in ("LeaderWorkerSet", "DynamoGraphDeployment")
    }
    template: Any = cast("Any", schemas["LeaderWorkerSet"].schema)["$defs"]["template"]
    for plan in PLANS:
        for form in ("kubernetes", "dynamo"):
            for one in manifests(plan, engine, form):
                kind = one["kind"]
                if kind in schemas:
                    assert [error.message for error in schemas[kind].iter_errors(one)] == []
                elif kind == "Deployment":
                    labels = one["spec"]["template"]["metadata"]["labels"]
                    assert list(Draft202012Validator(template).iter_errors(one["spec"]["template"])) == []
                    assert one["spec"]["selector"]["matchLabels"] == labels
                else:
                    assert kind in ("ConfigMap", "Service")


def test_a_schema_refuses_what_it_does_not_know() -> None:
    """Or the test before could not fail."""
    schema = Draft202012Validator(json.loads((SCHEMAS / "leaderworkerset.json").read_text(encoding="utf-8")))
    (group,) = (one for one in manifests("one", "vllm", "kubernetes") if one["kind"] == "LeaderWorkerSet")
    group["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]["containers"][0]["imge"] = "x"
    assert list(schema.iter_errors(group))


def arguments(script: str, program: str, folder: Path, **environment: str) -> list[str]:
    """What a program gets when a shell runs a script: a program of its name writes its arguments down."""
    stub = folder / program
    stub.write_text('#!/bin/sh\nfor a in "$@"; do printf "%s\\0" "$a"; done > "$RECORD"\n', encoding="utf-8")
    stub.chmod(0o755)
    record = folder / "record"
    path = f"{folder}:{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-s"], input=script, text=True, check=True, cwd=folder,
        env={"PATH": path, "RECORD": str(record), **environment},
    )  # fmt: skip
    return record.read_text(encoding="utf-8").split("\0")[:-1]


@pytest.mark.parametrize("node", [0, 1, 3])
def test_a_node_starts_its_own_ranks(node: int, tmp_path: Path) -> None:
    """Decode: 32 ranks of dp on 4 nodes. The first has the server, the fourth begins with rank 24."""
    script = files("pools", "vllm", "shell")["decode.sh"]
    found = arguments(script, "vllm", tmp_path, HEAD="10.0.0.1", NODE=str(node), SELF="10.0.0.2")
    assert found[:2] == ["serve", "deepseek-ai/DeepSeek-V3"]
    assert found[found.index("--data-parallel-address") + 1] == "10.0.0.1"
    assert found[found.index("--speculative-config") + 1] == '{"method":"mtp","num_speculative_tokens":1}'
    if node:
        assert found[-3:] == ["--headless", "--data-parallel-start-rank", str(8 * node)]
    else:
        assert found[-4:] == ["--host", "0.0.0.0", "--port", "8000"]


def test_a_script_says_what_it_lacks(tmp_path: Path) -> None:
    script = files("pools", "sglang", "shell")["decode.sh"]
    with pytest.raises(subprocess.CalledProcessError):
        arguments(script, "python", tmp_path, NODE="0")


def test_mpi_starts_all_ranks_and_reads_one_settings_file(tmp_path: Path) -> None:
    script = files("pools", "trtllm", "shell")["prefill.sh"]
    found = arguments(script, "mpirun", tmp_path, HOSTS="a:8,b:8")
    assert found[:6] == ["-n", "16", "--npernode", "8", "--host", "a:8,b:8"]
    settings = yaml.safe_load((tmp_path / "settings.yaml").read_text(encoding="utf-8"))
    assert settings["enable_attention_dp"] is True
    assert settings["disable_overlap_scheduler"] is True
    assert settings["cache_transceiver_config"] == {"backend": "DEFAULT"}


def batch_steps(script: str, folder: Path) -> list[str]:
    """What `srun` is given on eight nodes, the address of the first node and the port before it, in any order."""
    for name, text in {
        "scontrol": 'for i in 0 1 2 3 4 5 6 7; do echo "n$i"; done',
        # In one write; a server does not end before the others have begun.
        "srun": 'printf "%s\\n" "$(echo "${HEAD:-router}" "${PORT:-}" "$@" | tr "\\n" " ")" >> "$RECORD"; sleep 0.5',
    }.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    record = folder / "record"
    path = f"{folder}:{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-s"], input=script, text=True, check=True, cwd=folder,
        env={"PATH": path, "RECORD": str(record), "SLURM_JOB_NODELIST": "n[0-7]"},
    )  # fmt: skip
    return sorted(record.read_text(encoding="utf-8").splitlines())


def nodes_of(step: str) -> str:
    return next(word for word in step.split() if word.startswith("--nodelist=")).partition("=")[2]


def test_a_batch_gives_every_instance_nodes_of_its_own(tmp_path: Path) -> None:
    """Two of 2 nodes and one of 4, on eight."""
    (script,) = files("pools", "sglang", "slurm").values()
    steps = batch_steps(script, tmp_path)
    assert [nodes_of(one) for one in steps] == ["n0,n1", "n2,n3", "n4,n5,n6,n7", "n0"]
    assert [one.split()[0] for one in steps] == ["n0", "n2", "n4", "router"]
    assert '--prefill "$PREFILL_1" 8998' in steps[3]


def test_small_instances_share_a_node(tmp_path: Path) -> None:
    """Five of two GPUs on machines of eight: four on the first, with GPUs and a port of their own, one on the next."""
    (script,) = files("small", "vllm", "slurm").values()
    assert "#SBATCH --nodes=2\n#SBATCH --gpus-per-node=8\n" in script
    steps = batch_steps(script, tmp_path)
    assert [nodes_of(one) for one in steps] == ["n0", "n0", "n0", "n0", "n1"]
    assert [one.split()[1] for one in steps] == ["8000", "8001", "8002", "8003", "8000"]
    devices = [one.partition("CUDA_VISIBLE_DEVICES=")[2].partition(";")[0] for one in steps]
    assert devices == ["0,1", "2,3", "4,5", "6,7", "0,1"]


def test_a_batch_ends_with_its_first_server(tmp_path: Path) -> None:
    """One that fails is the status of the batch, and Slurm ends what is left of it."""
    (script,) = files("small", "vllm", "slurm").values()
    for name, text in {"scontrol": "echo n0; echo n1", "srun": "exit 3"}.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-s"], input=script, text=True, check=False, cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "n[0-1]"},
    )  # fmt: skip
    assert done.returncode == 3


def test_a_container_has_what_picks_devices_ports_and_networks(tmp_path: Path) -> None:
    """By a stub of `docker`: without a value `-e NAME` passes what is set."""
    script = files("pools", "vllm", "docker")["prefill.sh"]
    found = arguments(script, "docker", tmp_path, IMAGE="i", HEAD="h", NODE="0", HOME=str(tmp_path))
    passed = {found[i + 1] for i, word in enumerate(found) if word == "-e"}
    assert {"HEAD", "NODE", "SELF", "PORT", "MODEL", "HF_TOKEN", "CUDA_VISIBLE_DEVICES"} <= passed
    assert {"NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "NCCL_IB_HCA"} <= passed
    assert found[-4:] == ["--entrypoint", "bash", "i", "-s"]


@pytest.mark.parametrize(
    ("engine", "program", "addresses"),
    [
        ("vllm", "vllm-router", ["--prefill", "http://a", "--prefill", "http://b", "--decode", "http://c"]),
        (
            "sglang",
            "python",
            ["--prefill", "http://a", "8998", "--prefill", "http://b", "8998", "--decode", "http://c"],
        ),
    ],
)
def test_the_router_knows_all_instances(engine: str, program: str, addresses: list[str], tmp_path: Path) -> None:
    script = files("pools", engine, "shell")["router.sh"]
    named = {"PREFILL_0": "http://a", "PREFILL_1": "http://b", "DECODE_0": "http://c"}
    found = arguments(script, program, tmp_path, **named)
    start = found.index("--prefill")
    assert found[start : start + len(addresses)] == addresses


@pytest.mark.parametrize(("engine", "package"), [("vllm", "vllm-router 0.1.17"), ("sglang", "sglang-router 0.3.2")])
def test_the_routers_parser_takes_its_command(engine: str, package: str) -> None:
    one = launched("pools", engine)
    router = one.launchable().router()
    assert router is not None
    flags = parsed(package.split()[0], package.split()[1], router.program)
    assert flags["--decode"] == "$DECODE_0"


def test_kubernetes_has_a_group_for_each_instance() -> None:
    found = manifests("pools", "sglang", "kubernetes")
    groups = {one["metadata"]["name"]: one["spec"] for one in found if one["kind"] == "LeaderWorkerSet"}
    sizes = {name: (spec["replicas"], spec["leaderWorkerTemplate"]["size"]) for name, spec in groups.items()}
    assert sizes == {"pools-prefill": (2, 2), "pools-decode": (1, 4)}
    scripts = {one["metadata"]["name"]: one["data"]["launch.sh"] for one in found if one["kind"] == "ConfigMap"}
    assert "http://pools-prefill-1.pools-prefill:30000 8998" in scripts["pools-router"]


def test_addresses_are_as_each_router_takes_them() -> None:
    """`trtllm-serve disaggregated` splits an address at its colon: no scheme."""
    maps = (one for one in manifests("pools", "trtllm", "kubernetes") if one["kind"] == "ConfigMap")
    (script,) = (one["data"]["launch.sh"] for one in maps if one["metadata"]["name"] == "pools-router")
    assert '- "pools-prefill-1.pools-prefill:8000"' in script
    assert "http" not in script


def test_dynamo_has_a_service_for_each_role() -> None:
    (graph,) = (one for one in manifests("pools", "trtllm", "dynamo") if one["kind"] == "DynamoGraphDeployment")
    services = graph["spec"]["services"]
    assert list(services) == ["Frontend", "prefill", "decode"]
    assert services["decode"]["multinode"] == {"nodeCount": 4}
    assert services["prefill"]["replicas"] == 2
    (data,) = (one["data"] for one in manifests("pools", "trtllm", "dynamo") if one["kind"] == "ConfigMap")
    decode = yaml.safe_load(data["decode.yaml"])
    assert (decode["tensor_parallel_size"], decode["moe_expert_parallel_size"]) == (32, 32)
    assert decode["moe_config"]["load_balancer"]["num_slots"] == 288


@given(st.text(st.sampled_from("$`\"'\\!{}()ab \n*~;|&<>#") | st.characters(codec="utf-8", exclude_characters="\0")))
def test_no_text_is_read_by_a_shell(text: str) -> None:
    """Beside variables of a command, too."""
    script = f"HEAD=h\nprintf '%s\\0' {quoted(text)} {quoted(text + ':$HEAD')}"
    found = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode()
    if not any(name in text for name in ("$((", "$HEAD", "$NODE", "$SELF", "$MODEL", "$SCRIPT", "$DRAFT", "$PORT")):
        assert found == f"{text}\0{text}:h\0"


def test_an_unknown_variable_is_text() -> None:
    script = line(("printf", "%s", "$(touch x)`id`$HOME"), ())
    found = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode()
    assert found == "$(touch x)`id`$HOME"


def test_files_hold_text_as_it_is(tmp_path: Path) -> None:
    text = 'a: "$(id) `id` \\\\ $HOME"\nb: $HEAD\n'
    subprocess.run(["bash", "-c", f"HEAD=h\n{written('f.yaml', text)}"], check=True, cwd=tmp_path)
    assert (tmp_path / "f.yaml").read_text(encoding="utf-8") == text.replace("$HEAD", "h")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, min_size=1, max_size=4))
def test_yaml_says_what_it_was_given(value: dict[str, Any]) -> None:
    """To PyYAML, whose dialect is 1.1."""
    assert yaml.safe_load(yaml_text(value)) == value


@pytest.mark.parametrize("form", ["docker", "kubernetes", "dynamo"])
def test_a_library_has_no_server_files(form: str) -> None:
    result = CliRunner().invoke(command, ["-e", "ep 8", "--engine", "megatron", "--format", form])
    assert result.exit_code == 1
    assert "is a library" in result.stderr


def test_files_are_written_where_it_was_said(tmp_path: Path) -> None:
    arguments = ["-e", "ep 8", "--model", "gpt-oss-120b", "--engine", "vllm", "--format", "shell", "-o", str(tmp_path)]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0
    text = (tmp_path / "main-vllm" / "server.sh").read_text(encoding="utf-8")
    assert "MODEL=${MODEL:-openai/gpt-oss-120b}" in text
    refused = CliRunner().invoke(command, ["-e", "ep 8", "-o", str(tmp_path)])
    assert refused.exit_code == 2
