"""All services together, in the order in which they need each other."""

from collections.abc import Iterator

from tasks import files
from tasks.errors import TercetError
from tasks.services import postgres, python, redis, s3
from tasks.services.place import HOME, LISTENING, Place, known, made, moved, private
from tasks.services.processes import Service, running, start, stop

ENVIRONMENT = HOME / "environment"  # what a shell reads to have its commands use the services


def stores(place: Place) -> tuple[Service, Service]:
    """What keeps the data."""
    return postgres.service(place), s3.service(place)


def engines(place: Place) -> tuple[Service, ...]:
    """What works on the data; the worker, which needs its pool, is started by `begin_worker`."""
    return redis.service(place), python.mlflow(place), python.server(place), python.background(place)


def every(place: Place) -> tuple[Service, ...]:
    """All of them, each after those that it needs."""
    return (*stores(place), *engines(place), python.worker(place))


def start_stores(place: Place) -> Iterator[Service]:
    """Start what keeps the data, with the databases and buckets in it; yields each that is ready."""
    for part, service in zip((postgres, s3), stores(place), strict=True):
        part.prepare(place)
        start(service)
        part.settle(place)
        yield service


def start_all() -> Iterator[Service]:
    """Start what does not run yet, but for the worker; yields each that is ready.

    Raises:
        TercetError: one cannot be had, or does not come up. Those that did stay up.
    """
    made()
    with files.locked(HOME / "up"):
        place = known()  # as another `tercet up` may have left it by now
        place = moved(place, _idle(place))
        yield from start_stores(place)
        redis.prepare(place)
        python.prepare(place)
        for service in engines(place):
            start(service)
            yield service
        lines = [f"export {name}={value}" for name, value in python.clients(place).items()]
        private(ENVIRONMENT.absolute(), "\n".join([*lines, ""]))


def _idle(place: Place) -> list[str]:
    """The ports of what does not run; those that bear no service's name are the store's."""
    rests = {service.name: running(service) is None for service in every(place)}
    return [name for name in LISTENING if rests.get(name, rests["s3"])]


def begin_worker() -> Service:
    """Start the worker of the project; its pool must be there."""
    service = python.worker(known())
    start(service)
    return service


def stop_all() -> list[str]:
    """End all that run, in the order that lets each end its work; their names."""
    if not (HOME / "ports.json").exists():
        return []
    with files.locked(HOME / "up"):
        return [service.name for service in reversed(every(known())) if stop(service)]


def must_rest(place: Place, services: tuple[Service, ...], why: str) -> None:
    """Refuse where one of the services runs.

    Raises:
        TercetError: it does.
    """
    if found := [service.name for service in services if running(service) is not None]:
        raise TercetError(f"{', '.join(found)} of {place.home} run: {why}; `tercet down` ends them")
