"""Every error a user can meet, as a tree.

BatchEndpointError
├── SpecError             a file or a body does not say something we can run
├── NotFound              no such endpoint, deployment, asset or job
├── Conflict              it exists already, or is in a state that does not allow this
├── InvocationError       a request to run a job that cannot be run as asked
│   └── InputError        … because its data is missing, empty or unreadable
├── Refused               not allowed in this configuration
├── NotAuthenticated      a request without the server's token
├── EnvironmentFailed     the interpreter that a deployment asks for could not be made
├── ScoringError          the user's model or script failed
│   ├── InitFailed        … before the first mini-batch: the whole job fails, at once
│   ├── RunFailed         … in one run(): it returned what leaves open which rows or files have a result
│   ├── OutputFailed      … by returning what the output's format cannot hold
│   └── HostLost          … by taking its process with it (crash, timeout, memory)
│       ├── BadReply      … which we ended, since it answered with what is no reply
│       └── HostKilled    … killed from outside, mostly for want of memory
│           └── MemoryShort  … by us, before its node had none left: no try of the mini-batch
├── StoreUnavailable      a store or a disk does not give or take for now: nobody's data has failed, a job resumes
├── StepLost              the node or the process that ran a step was lost: it is begun again
├── WorkersLost           the cluster's processes that score end before they can begin
├── ResourcesUnavailable  a worker reserves more than any node of the cluster has, or could have
├── JobFailed             a job somebody waited for did not end as Completed
└── ServerError           the server could not be reached, or answered with an error of its own
"""

from __future__ import annotations


class BatchEndpointError(Exception):
    """Base of our errors: what is wrong, where, and how to mend it."""

    code = "Error"

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(what)  # args == (what,): Ray pickles errors, this is what lets them arrive whole
        self.where, self.mend = where, mend

    @property
    def what(self) -> str:
        return str(self.args[0])

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        return f"{self.what}{place}" + (f"\n{self.mend}" if self.mend else "")


class SpecError(BatchEndpointError):
    """A YAML file or a request body does not describe something that can be run."""

    code = "ValidationError"


class NotFound(BatchEndpointError):
    """No such endpoint, deployment, asset or job."""

    code = "NotFound"


class Conflict(BatchEndpointError):
    """It exists already, or it is in a state that does not allow this."""

    code = "Conflict"


class InvocationError(BatchEndpointError):
    """A request to run a job that cannot be run as asked; no job exists because of it."""

    code = "BadRequest"


class InputError(InvocationError):
    """The input data is missing, empty or unreadable."""

    code = "InvalidInput"


class Refused(BatchEndpointError):
    """Not allowed in this configuration."""

    code = "Refused"


class NotAuthenticated(BatchEndpointError):
    """The request carries no token, or another one than the server's."""

    code = "Unauthenticated"


class EnvironmentFailed(BatchEndpointError):
    """The interpreter that a deployment asks for could not be made on this machine."""

    code = "EnvironmentFailed"


class ScoringError(BatchEndpointError):
    """The user's model or scoring script failed."""

    code = "ScoringFailed"


class InitFailed(ScoringError):
    """The scoring script could not be loaded, or its ``init()`` raised."""

    code = "InitFailed"


class RunFailed(ScoringError):
    """One call of ``run()`` returned something that leaves open which rows or files have a result."""

    code = "RunFailed"


class OutputFailed(ScoringError):
    """What ``run()`` returned cannot be written in the format of the output."""

    code = "OutputFailed"


class HostLost(ScoringError):
    """The user's process ended, or had to be ended, in the middle of a call."""

    code = "HostLost"


class BadReply(HostLost):
    """The user's process answered with something that is no reply, so it was ended."""


class HostKilled(HostLost):
    """The user's process was killed from outside: for want of memory, or by a person."""


class StoreUnavailable(BatchEndpointError):
    """A store that does not answer, or a disk that is full: what it was asked for may be possible later."""

    code = "StoreUnavailable"


class MemoryShort(HostKilled):
    """The user's process was ended in time, since its node would have had no memory left."""


class WorkersLost(BatchEndpointError):
    """The cluster's processes that score end, again and again, before they can begin."""

    code = "WorkersLost"


class StepLost(BatchEndpointError):
    """The node or the process that ran an attempt of a step was lost, which says nothing about the step."""

    code = "StepLost"


class ResourcesUnavailable(BatchEndpointError):
    """A worker reserves more than any node of the cluster has, or could have."""

    code = "ResourcesUnavailable"


class JobFailed(BatchEndpointError):
    """A job that somebody waited for did not end as Completed."""

    code = "JobFailed"


class ServerError(BatchEndpointError):
    """The server could not be reached, or answered with an error of its own."""

    code = "ServerError"
