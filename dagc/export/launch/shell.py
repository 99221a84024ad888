"""Scripts for a shell and for Docker: one a role, run on each node of each of its instances; one for the router."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.export.launch.roles import Launchable, LaunchRole

_HEAD = "#!/usr/bin/env bash\n"
_STRICT = "set -euo pipefail\n"


def shell_files(launchable: Launchable) -> dict[str, str]:
    """Scripts by file name."""
    files = {f"{role.name}.sh": _script(launchable, role) for role in launchable.roles}
    router = launchable.router()
    if router is not None:
        body = launchable.router_body(router)
        files["router.sh"] = f"{_HEAD}{_about(launchable, 'the router')}{_STRICT}{_addresses(launchable)}{body}"
    return files


def docker_files(launchable: Launchable) -> dict[str, str]:
    """Scripts that run the same in a container that has all GPUs, memory and network of its node."""
    return {name: _in_container(text) for name, text in shell_files(launchable).items()}


def _script(launchable: Launchable, role: LaunchRole) -> str:
    command = role.command
    where = f"each of {command.nodes} nodes" if command.nodes > 1 else "one node"
    if command.ranks_by_mpi:
        where = f"the first of {command.nodes} nodes"
    shared = min(launchable.on_a_node(role), role.instances)
    if shared > 1:
        where = f"a node; {shared} share one, each with its own CUDA_VISIBLE_DEVICES and PORT"
    count = f"{role.instances} instances" if role.instances > 1 else "1 instance"
    about = _about(launchable, f"{role.name}, {count}; for each, run on {where}")
    variables = "".join(f"{line}\n" for line in launchable.variables(role))
    body = launchable.body(role)
    if command.ranks_by_mpi:
        variables += ': "${HOSTS:?all nodes of the instance, first:8,second:8}"\n'
        ranks = f'exec mpirun -n {command.ranks_by_mpi} --npernode {command.gpus} --host "$HOSTS" '
        body = body.replace("exec ", ranks, 1)
    return f"{_HEAD}{about}{_STRICT}{variables}{body}"


def _about(launchable: Launchable, what: str) -> str:
    """Comments of one line each: names and texts of a plan have no line breaks, and a comment ends with its line."""
    return "".join(f"# {' '.join(line.split())}\n" for line in (launchable.title, what))


def _addresses(launchable: Launchable) -> str:
    return "".join(
        f': "${{{role.phase.upper()}_{i}:?instance {i} of {role.phase}, {launchable.address("host")}}}"\n'
        for role in launchable.roles
        for i in range(role.instances)
    )


def _in_container(script: str) -> str:
    passed = [f"-e {name}" for name in sorted(_environment(script))]
    options = ["--gpus all --network host --ipc host --ulimit memlock=-1 --ulimit stack=67108864", *passed]
    options += ['-e HF_HOME=/models -v "$CACHE:/models"', '"${RDMA[@]}"', '--entrypoint bash "$IMAGE" -s']
    comments = "".join(line for line in script.splitlines(keepends=True)[1:3])
    variables = ': "${IMAGE:?image with the engine}"\nCACHE="${CACHE:-$HOME/.cache/huggingface}"\n'
    variables += "RDMA=()\nif [ -e /dev/infiniband ]; then RDMA=(--device /dev/infiniband --cap-add IPC_LOCK); fi\n"
    run = " \\\n    ".join(["docker run --rm -i", *options])
    return f"{_HEAD}{comments}{_STRICT}{variables}{run} <<'END_OF_SCRIPT'\n{script}END_OF_SCRIPT\n"


def _environment(script: str) -> Iterator[str]:
    """Names that a script takes from its environment, the token of the model hub, and what picks devices and networks.

    What is not set is not passed.
    """
    yield from ("HF_TOKEN", "CUDA_VISIBLE_DEVICES", "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "NCCL_IB_HCA")
    for line in script.splitlines():
        if line.startswith(': "${'):
            yield line.removeprefix(': "${').partition(":")[0]
        elif line.startswith(("MODEL=${", 'SELF="${', 'PORT="${')):
            yield line.partition("=")[0]
