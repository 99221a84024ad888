"""One batch script of Slurm for a strategy: each instance on nodes of its own, the router on the first of them."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.export.launch.roles import Launchable, LaunchRole

_END = "END_OF_SCRIPT"


def slurm_files(launchable: Launchable) -> dict[str, str]:
    """The script, for `sbatch`."""
    return {f"{launchable.slug}.sbatch": "".join(f"{line}\n" for line in _lines(launchable))}


def _lines(launchable: Launchable) -> Iterator[str]:
    gpus = max(role.command.gpus for role in launchable.roles)
    yield "#!/bin/bash"
    yield f"#SBATCH --job-name={launchable.slug}"
    yield f"#SBATCH --nodes={launchable.nodes}"
    yield f"#SBATCH --gpus-per-node={gpus}"
    yield "#SBATCH --exclusive"
    yield f"# {' '.join(launchable.title.split())}"
    yield "set -euo pipefail"
    yield 'IMAGE="${IMAGE:-}"  # of Pyxis, with the engine; empty: the engine is on the nodes'
    yield "IN=()"
    yield 'if [ -n "$IMAGE" ]; then'
    yield '  IN=(--container-image="$IMAGE" --container-mounts="$PWD:$PWD" --container-workdir="$PWD")'
    yield "fi"
    yield 'mapfile -t HOSTS < <(scontrol show hostnames "$SLURM_JOB_NODELIST")'
    first = 0
    for role in launchable.roles:
        for instance in range(role.instances):
            yield from _instance(launchable, role, instance, first)
            first += role.command.nodes
    router = launchable.router()
    if router is not None:
        yield f"read -r -d '' ROUTER <<'{_END}' || true"
        yield f"{launchable.router_body(router)}{_END}"
        yield 'srun --overlap --nodes=1 --ntasks=1 --nodelist="${HOSTS[0]}" "${IN[@]}" bash -c "$ROUTER" &'
    yield "wait"


def _instance(launchable: Launchable, role: LaunchRole, instance: int, first: int) -> Iterator[str]:
    """Its nodes are those from `first` on; each has a folder of its own for files."""
    command, nodes = role.command, role.command.nodes
    variable = f"{role.name.upper()}_SCRIPT"
    if instance == 0:
        yield f"read -r -d '' {variable} <<'{_END}' || true"
        yield "set -euo pipefail"
        if not command.ranks_by_mpi:
            yield 'NODE="$SLURM_PROCID"'
        yield from (line for line in launchable.variables(role) if "${NODE:?" not in line)
        yield f"{launchable.body(role, has_file=not command.ranks_by_mpi)}{_END}"
    if role.phase != "both":
        yield f'export {role.phase.upper()}_{instance}="{launchable.address(f"${{HOSTS[{first}]}}")}"'
    tasks = f"--ntasks-per-node={command.gpus} --mpi=pmix" if command.ranks_by_mpi else "--ntasks-per-node=1"
    yield f'mkdir -p "{role.name}-{instance}"'
    if command.ranks_by_mpi and command.file:
        # Once, before all ranks read it.
        yield f"( cd {role.name}-{instance}\n{launchable.settings(role)})"
    yield f'HEAD="${{HOSTS[{first}]}}" srun --nodes={nodes} {tasks} --gpus-per-node={command.gpus} \\'
    chosen = f'--nodelist="$(IFS=,; echo "${{HOSTS[*]:{first}:{nodes}}}")"'
    yield f'    {chosen} "${{IN[@]}}" bash -c "cd {role.name}-{instance}; ${variable}" &'
