"""One batch script of Slurm for a strategy: instances on nodes of their own, small ones of both phases beside others,
and the router on the first node.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.export.launch.roles import Launchable, LaunchRole

_END = "END_OF_SCRIPT"


def slurm_files(launchable: Launchable) -> dict[str, str]:
    """The script, for `sbatch`."""
    return {f"{launchable.slug}.sbatch": "".join(f"{line}\n" for line in _lines(launchable))}


def _lines(launchable: Launchable) -> Iterator[str]:
    gpus = max(role.command.gpus * min(launchable.on_a_node(role), role.instances) for role in launchable.roles)
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
            if (instance + 1) % launchable.on_a_node(role) == 0 or instance + 1 == role.instances:
                first += role.command.nodes
    router = launchable.router()
    if router is not None:
        yield f"read -r -d '' ROUTER <<'{_END}' || true"
        yield f"{launchable.router_body(router)}{_END}"
        yield 'srun --overlap --nodes=1 --ntasks=1 --nodelist="${HOSTS[0]}" "${IN[@]}" bash -c "$ROUTER" &'
    yield "wait -n  # one that ends, as no server does, ends the others"


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
    count, enter, port = launchable.on_a_node(role), f"cd {role.name}-{instance}", ""
    if count > 1:
        # Slurm names all GPUs of the step itself, so it is inside that an instance takes its own.
        place = instance % count
        devices = ",".join(str(place * command.gpus + i) for i in range(command.gpus))
        enter, port = f"{enter}; export CUDA_VISIBLE_DEVICES={devices}", f"PORT={launchable.engine.port + place} "
        tasks = f"{tasks} --overlap"
    gpus = command.gpus * min(count, role.instances)
    yield f'{port}HEAD="${{HOSTS[{first}]}}" srun --nodes={nodes} {tasks} --gpus-per-node={gpus} \\'
    chosen = f'--nodelist="$(IFS=,; echo "${{HOSTS[*]:{first}:{nodes}}}")"'
    yield f'    {chosen} "${{IN[@]}}" bash -c "{enter}; ${variable}" &'
