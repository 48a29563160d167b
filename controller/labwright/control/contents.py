"""Task specs and bundles by content key, kept in memory while they are in use: the trials of a sweep share them."""

import json
from collections import OrderedDict

from labwright.domain.bundle import Bundle
from labwright.domain.ids import Digest
from labwright.domain.job import Job
from labwright.domain.task import Task
from labwright.ports.ledger import Ledger

MOST = 512


class Contents:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._specs: OrderedDict[Digest, Task] = OrderedDict()
        self._bundles: OrderedDict[Digest, Bundle] = OrderedDict()

    def spec(self, job: Job) -> Task:
        if job.spec not in self._specs:
            self._specs[job.spec] = Task.from_json(self._ledger.contents([job.spec])[job.spec])
            if len(self._specs) > MOST:
                self._specs.popitem(last=False)
        return self._specs[job.spec]

    def bundle(self, job: Job) -> Bundle:
        if job.bundle not in self._bundles:
            text = self._ledger.contents([job.bundle])[job.bundle]
            self._bundles[job.bundle] = Bundle.from_json(json.loads(text))
            if len(self._bundles) > MOST:
                self._bundles.popitem(last=False)
        return self._bundles[job.bundle]
