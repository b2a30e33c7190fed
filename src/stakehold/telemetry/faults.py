"""What a log says of an unexpected exception."""

import traceback

FRAMES_MAX = 20


def describe_fault(fault: BaseException) -> dict[str, object]:
    """The exception's type and where it arose, for `JsonLog.write`.

    Its message is left out: a driver's message may quote what was being stored.
    """
    found = traceback.extract_tb(fault.__traceback__)[-FRAMES_MAX:]
    frames = [f"{frame.filename.rpartition('stakehold/')[2]}:{frame.lineno} {frame.name}" for frame in found]
    return {
        "fault": type(fault).__qualname__,
        "cause": type(fault.__cause__).__qualname__ if fault.__cause__ is not None else None,
        "frames": frames,
    }
