"""A strategy as a DynamoGraphDeployment: a frontend, and a service for each role, whose nodes the operator places.

Fields are those of `nvidia.com/v1alpha1`, deploy/operator/api/v1alpha1 of ai-dynamo/dynamo @ 1d26d921. The operator
adds to the arguments of a worker what puts ranks on nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dagc.export.launch.kubernetes import environment, header
from dagc.export.launch.roles import Launchable, LaunchRole
from dagc.export.launch.yaml_text import documents, yaml_text

Manifest = dict[str, Any]

_FOLDER = "/etc/dagc"


def dynamo_files(launchable: Launchable) -> dict[str, str]:
    """The deployment, behind a config map where workers take their arguments from files."""
    files = {f"{role.name}.yaml": _file(launchable, role) for role in launchable.roles}
    files = {name: text for name, text in files.items() if text}
    maps = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": launchable.slug}, "data": files}] * bool(
        files
    )
    text = documents([*maps, _deployment(launchable, bool(files))])
    return {f"{launchable.slug}.yaml": f"{header(launchable)}{text}"}


def _file(launchable: Launchable, role: LaunchRole) -> str:
    found = launchable.engine.dynamo_file(role.command)
    return yaml_text(found).replace("$DRAFT", "${DRAFT}") if found else ""


def _deployment(launchable: Launchable, has_files: bool) -> Manifest:
    engine = launchable.engine
    front = {"mainContainer": {"image": "${IMAGE}"}}
    services: Manifest = {"Frontend": {"componentType": "frontend", "replicas": 1, "extraPodSpec": front}}
    for role in launchable.roles:
        services[role.name] = _service(launchable, role, has_files)
    mpi = [{"name": name, "value": "1"} for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")]
    by_mpi = any(role.command.ranks_by_mpi for role in launchable.roles)
    return {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": launchable.slug},
        "spec": {
            "backendFramework": engine.name,
            "envs": [*environment(launchable), *(mpi if by_mpi else [])],
            "services": services,
        },
    }


def _service(launchable: Launchable, role: LaunchRole, has_files: bool) -> Manifest:
    command, name = role.command, launchable.engine.name
    # Addresses of nodes are the worker's own matter.
    own = [{"name": key, "value": value} for key, value in command.environment if "$" not in value]
    container: Manifest = {
        "image": "${IMAGE}",
        "command": ["python3", "-m", f"dynamo.{name}"],
        "args": list(_arguments(launchable, role, has_files)),
    }
    service: Manifest = {"componentType": "worker", "replicas": role.instances}
    if role.phase != "both":
        service["subComponentType"] = role.phase
    if command.nodes > 1:
        service["multinode"] = {"nodeCount": command.nodes}
    service["resources"] = {"limits": {"gpu": str(command.gpus)}}
    if own:
        service["envs"] = own
    pod: Manifest = {"mainContainer": container}
    if has_files:
        container["volumeMounts"] = [{"name": "dagc", "mountPath": _FOLDER}]
        pod["volumes"] = [{"name": "dagc", "configMap": {"name": launchable.slug}}]
    return {**service, "extraPodSpec": pod}


def _arguments(launchable: Launchable, role: LaunchRole, has_files: bool) -> Iterator[str]:
    """In a manifest `$$` is a dollar sign, and `$(NAME)` would be a variable."""
    engine, command = launchable.engine, role.command
    model = launchable.model.replace("$", "$$") or "${MODEL}"
    yield from (engine.dynamo_model, model, "--served-model-name", model)
    tokens = () if has_files else (*command.flags, *command.others)
    yield from (token.replace("$DRAFT", "${DRAFT}") for token in tokens)
    if has_files:
        yield from ("--extra-engine-args", f"{_FOLDER}/{role.name}.yaml")
    if role.phase != "both" and "--disaggregation-mode" not in tokens:
        yield from ("--disaggregation-mode", role.phase)
