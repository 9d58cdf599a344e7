"""The conversation with one controller: requests in, events out, until bye or the end of the stream."""

from __future__ import annotations

import os
from select import POLLIN, poll

from hakit.agent import frames
from hakit.agent.errors import Failure, FrameError
from hakit.agent.wire import from_wire
from hakit.agent.work import REFUSED, Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.lock import Lock

CHUNK = 1 << 16


class Stop(Exception):  # noqa: N818 - no error: we were told to end
    """The controller is gone, or a signal asked us to end, while nothing was in progress."""


class Channel:
    """Frames over two descriptors; notices when the other end is gone."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._decoder = frames.Decoder(frames.TO_HOST)
        self._poll = poll()
        self._poll.register(source, POLLIN)
        self._ended = False
        self._idle = False

    def stop(self) -> None:
        """End as soon as the step in progress is complete; safe in a signal handler."""
        self._ended = True
        if self._idle:
            self._idle = False
            raise Stop

    def gone(self) -> bool:
        """Whether the controller has gone or a signal came; never waits."""
        while not self._ended and self._poll.poll(0):
            self._read()
        return self._ended

    def receive(self) -> dict[str, Any] | None:
        """The next request, None at the end. Raises FrameError."""
        try:
            while True:
                frame = self._decoder.next()
                if frame is not None or self._ended:
                    return frame
                self._idle = True
                self._poll.poll()
                self._idle = False
                self._read()
        except Stop:
            return None

    def _read(self) -> None:
        data = os.read(self._source, CHUNK)
        if data:
            self._decoder.feed(data)
        else:
            self._ended = True

    def send(self, event: dict[str, Any]) -> None:
        """Tell the controller; when it is gone that is noticed and nothing else happens."""
        try:
            data = frames.encode(event, frames.TO_CONTROLLER)
        except FrameError as error:
            data = frames.encode({"ev": "crash", "message": str(error), "trace": ""}, frames.TO_CONTROLLER)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._sink, view) :]
        except OSError:
            self._ended = True


class Session:
    """Answers requests with what the host is and does."""

    def __init__(self, root: str, channel: Channel) -> None:
        self._channel = channel
        self._work = Work(root, self._say)
        self._work.gone = channel.gone
        self._lock: Lock | None = None
        self._failed: set[str] = set()

    def serve(self) -> None:
        """Answer until bye or the end. Raises FrameError for nonsense."""
        answers = {"hello": self._hello, "plan": self._plan, "apply": self._apply, "probe": self._probe}
        while True:
            request = self._channel.receive()
            if request is None or request.get("op") == "bye":
                return
            answer = answers.get(str(request.get("op")))
            if answer is None:
                raise FrameError(f"no such request: {request.get('op')!r}")
            try:
                answer(request)
            except (KeyError, AttributeError, TypeError) as error:
                if isinstance(error, KeyError) and error.args[0] in {"resources", "keys", "probes", "run", "who"}:
                    raise FrameError(f"the request {request['op']} lacks {error}") from None
                raise

    def close(self) -> None:
        """Give back what is held."""
        if self._lock is not None:
            self._lock.release()

    def _say(self, text: str) -> None:
        self._channel.send({"ev": "note", "key": "", "text": text})

    def _hello(self, request: dict[str, Any]) -> None:
        from hakit.agent.facts import gather
        from hakit.agent.lock import Lock, holder

        answer: dict[str, Any] = {"ev": "hello", "lock": None}
        folder = self._work.state.folder
        if request.get("lock"):
            self._lock = self._lock or Lock(folder)
            try:
                other, dead = self._lock.take(str(request["run"]), str(request["who"]))
            except OSError as error:
                reason = f"hakit can't keep its state in {folder}: {error.strerror}"
                self._channel.send({"ev": "crash", "message": reason, "trace": ""})
                return
            answer["lock"] = other
            if dead is not None:
                answer["taken_over"] = dead
            if other is None:
                self._sweep()
        else:
            answer["lock"] = holder(folder)
        answer["marks"] = []
        answer["facts"] = gather([str(name) for name in request.get("packages", ())], self._work)
        self._channel.send(answer)

    def _sweep(self) -> None:
        from hakit.agent.planning import sweep

        try:
            sweep(self._work)
        except Failure as failure:
            self._say(failure.message)

    def _plan(self, request: dict[str, Any]) -> None:
        from hakit.agent.planning import plan

        self._work.say = self._say
        self._work.declare([from_wire(one) for one in request["resources"]])
        self._work.changed.clear()
        items = plan(self._work, request.get("owned"))
        # What stands on something refused must not be done either.
        self._failed.clear()
        self._failed.update(one["key"] for one in items if one["status"] == REFUSED)
        self._channel.send({"ev": "plan", "items": items})

    def _apply(self, request: dict[str, Any]) -> None:
        if self._lock is None or not self._lock.held:
            raise FrameError("apply without the host's lock")
        from hakit.agent.applying import Batch, Stopped

        batch = Batch(self._work, self._channel.send, self._failed)
        try:
            self._channel.send(batch.run(request["keys"], request.get("remove", [])))
        except Stopped:
            return

    def _probe(self, request: dict[str, Any]) -> None:
        from hakit.agent.probing import evaluate
        from hakit.agent.wire import probe_from_wire

        results = [evaluate(probe_from_wire(one), self._work) for one in request["probes"]]
        self._channel.send({"ev": "probe", "results": results})
