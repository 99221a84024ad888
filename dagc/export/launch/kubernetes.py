"""Manifests of a strategy for Kubernetes: a LeaderWorkerSet a role, services before them, the router.

A LeaderWorkerSet (kubernetes-sigs/lws, `leaderworkerset.x-k8s.io/v1`) starts pods in groups: a group is an instance, a
pod a node of it. What a manifest cannot know is written as `${IMAGE}` and so on, for `envsubst`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dagc.engines.instance import ROUTER_PORT, FrontRouter
from dagc.export.launch.roles import Launchable, LaunchRole
from dagc.export.launch.yaml_text import documents

Manifest = dict[str, Any]

_OF_GROUP = {"HEAD": "LWS_LEADER_ADDRESS", "NODE": "LWS_WORKER_INDEX"}
"""What the pods of a group know, and where it is in their environment."""

_ROUTER = "router"
_FABRIC = (
    "# Pods of one instance exchange over RDMA, and over NVLink between machines of one domain: add what the cluster\n"
    "# calls them (rdma/…, IPC_LOCK, a ComputeDomain).\n"
)
_MPI = "# MPI starts ranks over SSH: the image has sshd, and the pods know each other's keys.\n"


def kubernetes_files(launchable: Launchable) -> dict[str, str]:
    """The manifests in one file."""
    return {
        f"{launchable.slug}.yaml": f"{header(launchable, with_router=True)}{documents(list(_manifests(launchable)))}"
    }


def header(launchable: Launchable, with_router: bool = False) -> str:
    """Comments: what it is, and how the variables are filled in."""
    router = launchable.router()
    names = ["IMAGE", "HF_SECRET", *_asked(launchable)]
    names += ["ROUTER_IMAGE"] if with_router and router is not None and not router.file else []
    listed = " ".join(f"${name}" for name in names)
    return (
        f"# {' '.join(launchable.title.split())}\n"
        f"# Set {', '.join(names)}: the image of the engine, the secret with HF_TOKEN"
        f"{', the checkpoint' if 'MODEL' in names else ''}; then\n"
        f"#   envsubst '{listed}' < {launchable.slug}.yaml | kubectl apply -f -\n"
        f"{_FABRIC if any(role.command.nodes > 1 for role in launchable.roles) else ''}"
        f"{_MPI if any(role.command.ranks_by_mpi for role in launchable.roles) and with_router else ''}"
    )


def environment(launchable: Launchable) -> list[Manifest]:
    """Variables of every pod: the token of the model hub, and names that the plan does not have."""
    token = {"secretKeyRef": {"name": "${HF_SECRET}", "key": "HF_TOKEN"}}
    asked = [{"name": name, "value": f"${{{name}}}"} for name in _asked(launchable)]
    return [{"name": "HF_TOKEN", "valueFrom": token}, *asked]


def _asked(launchable: Launchable) -> Iterator[str]:
    lines = [line for role in launchable.roles for line in launchable.variables(role)]
    for name in ("MODEL", "DRAFT"):
        if any(line.startswith(f': "${{{name}:?') for line in lines):
            yield name


def _manifests(launchable: Launchable) -> Iterator[Manifest]:
    for role in launchable.roles:
        name = f"{launchable.slug}-{role.name}"
        yield _scripts(name, {"launch.sh": _script(launchable, role)})
        yield _group(launchable, role, name)
        if role.phase == "both":
            leaders = {"leaderworkerset.sigs.k8s.io/name": name, "role": "leader"}
            yield _service(name, leaders, launchable.engine.port)
    urls = {role.phase: _urls(launchable, role) for role in launchable.roles}
    router = launchable.router(urls.get("prefill"), urls.get("decode"))
    if router is not None:
        name = f"{launchable.slug}-{_ROUTER}"
        yield _scripts(name, {"launch.sh": f"set -euo pipefail\n{launchable.router_body(router)}"})
        yield _router(launchable, name, router)
        yield _service(name, {"app": name}, ROUTER_PORT)


def _urls(launchable: Launchable, role: LaunchRole) -> list[str]:
    """Each instance by its leader, as the set's own headless service names it: which one has a cache matters."""
    name = f"{launchable.slug}-{role.name}"
    return [launchable.address(f"{name}-{i}.{name}") for i in range(role.instances)]


def _script(launchable: Launchable, role: LaunchRole) -> str:
    command = role.command
    known = [f'{name}="${source}"\n' for name, source in _OF_GROUP.items()]
    left = (': "${HEAD', ': "${NODE', "PORT=")
    variables = [f"{line}\n" for line in launchable.variables(role) if not line.startswith(left)]
    body = launchable.body(role, port=str(launchable.engine.port))
    if command.ranks_by_mpi:
        # The workers of a group are known by the name of their leader: NAME-0.SET.NAMESPACE has NAME-0-1 and so on.
        group = 'LEADER="${HEAD%%.*}"\nHOSTS="$HEAD:SLOTS"\nfor i in $(seq 1 $((LWS_GROUP_SIZE - 1))); do\n'
        group += '  HOSTS="$HOSTS,$LEADER-$i.${HEAD#*.}:SLOTS"\ndone\n'
        ranks = f'exec mpirun --allow-run-as-root -n {command.ranks_by_mpi} --host "$HOSTS" '
        body = group.replace("SLOTS", str(command.gpus)) + body.replace("exec ", ranks, 1)
        body = f'if [ "$NODE" != 0 ]; then exec /usr/sbin/sshd -D; fi\n{body}'
    return "".join(["set -euo pipefail\ncd /tmp\n", *known, *variables, body])


def _scripts(name: str, files: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": files}


def _group(launchable: Launchable, role: LaunchRole, name: str) -> Manifest:
    command, port = role.command, launchable.engine.port
    pod_ip = {"name": "SELF", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    container: Manifest = {
        "name": "engine",
        "image": "${IMAGE}",
        "command": ["bash", "/launch/launch.sh"],
        "env": [*environment(launchable), pod_ip],
        "resources": {"limits": {"nvidia.com/gpu": str(command.gpus)}},
        "volumeMounts": [{"name": "launch", "mountPath": "/launch"}, {"name": "shm", "mountPath": "/dev/shm"}],
    }
    volumes = [{"name": "launch", "configMap": {"name": name}}, {"name": "shm", "emptyDir": {"medium": "Memory"}}]
    served = {"ports": [{"containerPort": port}], "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 10}}
    leader = {"metadata": {"labels": {"role": "leader"}}, "spec": _pod({**container, **served}, volumes)}
    template: Manifest = {
        "size": command.nodes,
        "restartPolicy": "RecreateGroupOnPodRestart",
        "leaderTemplate": leader,
        "workerTemplate": {"spec": _pod(container, volumes)},
    }
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": name},
        "spec": {"replicas": role.instances, "leaderWorkerTemplate": template},
    }


def _pod(container: Manifest, volumes: list[Manifest]) -> Manifest:
    return {"containers": [container], "volumes": volumes}


def _router(launchable: Launchable, name: str, router: FrontRouter) -> Manifest:
    container = {
        "name": _ROUTER,
        "image": "${ROUTER_IMAGE}" if not router.file else "${IMAGE}",
        "command": ["bash", "/launch/launch.sh"],
        "workingDir": "/tmp",
        "ports": [{"containerPort": ROUTER_PORT}],
        "volumeMounts": [{"name": "launch", "mountPath": "/launch"}],
    }
    pod = _pod(container, [{"name": "launch", "configMap": {"name": name}}])
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def _service(name: str, selector: dict[str, str], port: int) -> Manifest:
    ports = [{"name": "http", "port": port, "targetPort": port}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": ports},
    }
