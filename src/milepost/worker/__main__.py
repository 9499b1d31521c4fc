"""The entry of the worker process; `milepost serve` starts it, nobody else does."""

from milepost import traces
from milepost.child import asyncio_run, begin_child, parent_end
from milepost.settings import Settings
from milepost.worker.due import work


async def _work(settings: Settings) -> None:
    traces.start(settings, "due work")
    await work(settings, parent_end(settings))
    traces.stop()


if __name__ == "__main__":
    asyncio_run(_work(begin_child()))
