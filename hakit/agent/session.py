"""The conversation with one controller: requests in, events out, until bye or the end of the stream."""

from __future__ import annotations

import os
from _thread import allocate_lock
from select import POLLIN, poll

from hakit.agent import frames
from hakit.agent.errors import Failure, FrameError, Stopped, from_os
from hakit.agent.pulse import Pulse
from hakit.agent.wire import from_wire
from hakit.agent.work import REFUSED, Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.lock import Lock

CHUNK = 1 << 16
BEAT = frames.encode({"ev": "beat"}, frames.TO_CONTROLLER)
NEEDED = {"resources", "keys", "probes", "actions", "packages", "run", "who", "task"}
"""Fields that a request can't do without."""


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
        self._sending = allocate_lock()

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
        with self._sending:
            self._write(data)

    def beat(self) -> None:
        """Tell the controller that we live, unless it is being told something; for a thread beside the main one."""
        if self._sending.acquire(blocking=False):
            try:
                self._write(BEAT)
            finally:
                self._sending.release()

    def _write(self, data: bytes) -> None:
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
        self._pulse = Pulse(channel.beat)
        self._work = Work(root, self._say)
        self._work.gone = channel.gone
        self._lock: Lock | None = None
        self._failed: set[str] = set()

    def serve(self) -> None:
        """Answer until bye or the end. Raises FrameError for nonsense."""
        answers = {
            "hello": self._hello,
            "plan": self._plan,
            "apply": self._apply,
            "probe": self._probe,
            "examine": self._examine,
            "act": self._act,
            "upkeep": self._upkeep,
            "upgrade": self._upgrade,
            "reboot": self._reboot,
            "task": self._task,
        }
        while True:
            request = self._channel.receive()
            if request is None or request.get("op") == "bye":
                return
            answer = answers.get(str(request.get("op")))
            if answer is None:
                raise FrameError(f"no such request: {request.get('op')!r}")
            self._pulse.begin()
            try:
                answer(request)
            except Stopped:
                return
            except KeyError as error:
                if error.args[0] in NEEDED:
                    raise FrameError(f"the request {request['op']} lacks {error}") from None
                raise
            finally:
                self._pulse.rest()

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
                self._refuse(from_os(error, f"hakit can't keep its state in {folder}", (folder,)).message)
                return
            answer["lock"] = other
            if dead is not None:
                answer["taken_over"] = dead
            if other is None:
                other = answer["lock"] = self._changing(str(request["run"]))
            if other is None:
                # Whoever held the lock before may have changed what was read without it.
                self._work.state.forget_cache()
                self._sweep()
        else:
            answer["lock"] = self._armed(str(request["run"])) or holder(folder)
        answer["marks"] = self._marks()
        asked = {name: bool(request.get(name)) for name in ("network", "storage")}
        answer["facts"] = gather([str(name) for name in request.get("packages", ())], self._work, **asked)
        self._channel.send(answer)

    def _changing(self, run: str) -> dict[str, Any] | None:
        """Another run whose change of the network is not settled yet; then the lock is given back."""
        other = self._armed(run)
        if other is not None and self._lock is not None:
            self._lock.release()
            self._lock = None
        return other

    def _armed(self, run: str) -> dict[str, Any] | None:
        """Another run whose change of the network is not settled yet."""
        if not os.path.exists(f"{self._work.state.folder}/network/armed.json"):
            return None
        from hakit.agent.network.record import keeper

        try:
            return keeper(self._work, run)
        except Failure as failure:
            self._say(failure.message)
            return None

    def _refuse(self, reason: str) -> None:
        """Tell why a request as a whole is not carried out."""
        self._channel.send({"ev": "crash", "message": reason, "trace": ""})

    def _need_lock(self, request: dict[str, Any]) -> Lock:
        if self._lock is None or not self._lock.held:
            raise FrameError(f"{request['op']} without the host's lock")
        return self._lock

    def _marks(self) -> list[dict[str, str]]:
        if not os.path.isdir(f"{self._work.state.folder}/withdrawn"):
            return []
        from hakit.agent.marks import read

        return read(self._work)

    def _sweep(self) -> None:
        from hakit.agent.planning import sweep

        try:
            sweep(self._work)
        except Failure as failure:
            self._say(failure.message)

    def _plan(self, request: dict[str, Any]) -> None:
        from hakit.agent.planning import plan

        self._work.say = self._say
        self._work.declare([from_wire(one) for one in request["resources"]], request.get("elsewhere", ()))
        self._work.changed.clear()
        if self._lock is not None and self._lock.held:
            self._remember_uses()
        items = plan(self._work, request.get("owned"))
        # What stands on something refused must not be done either.
        self._failed.clear()
        self._failed.update(one["key"] for one in items if one["status"] == REFUSED)
        self._channel.send({"ev": "plan", "items": items})

    def _remember_uses(self) -> None:
        from hakit.agent.loaded import remember_uses

        self._work.state.forget_cache()
        try:
            remember_uses(self._work)
        except Failure as failure:
            self._say(failure.message)

    def _apply(self, request: dict[str, Any]) -> None:
        self._need_lock(request)
        from hakit.agent.applying import Batch

        batch = Batch(self._work, self._channel.send, self._failed)
        self._channel.send(batch.run(request["keys"], request.get("remove", [])))

    def _probe(self, request: dict[str, Any]) -> None:
        from hakit.agent.probing import evaluate
        from hakit.agent.wire import probe_from_wire

        results = [evaluate(probe_from_wire(one), self._work) for one in request["probes"]]
        self._channel.send({"ev": "probe", "results": results})

    def _examine(self, request: dict[str, Any]) -> None:
        from hakit.agent.examining import examine

        self._channel.send({"ev": "examine", "answers": examine(request["questions"], self._work)})

    def _act(self, request: dict[str, Any]) -> None:
        self._need_lock(request)
        from hakit.agent.acting import act
        from hakit.agent.wire import action_from_wire, mark_from_wire

        self._work.say = self._say
        actions = [action_from_wire(one) for one in request["actions"]]
        mark = request.get("mark")
        try:
            results = act(actions, None if mark is None else mark_from_wire(mark), self._work)
        except Failure as failure:
            self._refuse(failure.message)
            return
        self._channel.send({"ev": "act", "results": results})

    def _upkeep(self, request: dict[str, Any]) -> None:
        from hakit.agent.upkeep import upkeep

        self._work.say = self._say
        try:
            asked = [str(name) for name in request.get("packages", ())]
            found = upkeep(self._work, refresh=bool(request.get("refresh")), packages=asked)
        except Failure as failure:
            self._refuse("\n".join(part for part in (failure.message, failure.output) if part))
            return
        self._channel.send({"ev": "upkeep", **found})

    def _upgrade(self, request: dict[str, Any]) -> None:
        self._need_lock(request)
        from hakit.agent.upgrading import upgrade

        self._work.say = self._say
        pairs = [(str(name), str(version)) for name, version in request["packages"]]
        summary, failure = upgrade(pairs, self._work)
        error = None if failure is None else failure.wire()
        self._channel.send({"ev": "upgraded", "summary": summary, "error": error})

    def _task(self, request: dict[str, Any]) -> None:
        from hakit.agent.wire import task_from_wire

        task = task_from_wire(request["task"])
        module = f"hakit.agent.{task.kind}.tasks"
        verbs: Any = __import__(module, fromlist=["*"])
        if task.do not in verbs.READING:
            self._need_lock(request)
        self._work.say = self._say
        result: dict[str, Any] = {}
        error: Failure | None = None
        try:
            result = verbs.carry_out(task.do, task.about, dict(task.arguments), self._work, task.timeout)
            if self._lock is not None and task.do in getattr(verbs, "LETTING_GO", ()):
                self._lock.release()
                self._lock = None
        except Failure as failure:
            error = self._work.told(failure)
        except OSError as failure:
            error = from_os(failure, task.do)
        self._channel.send({"ev": "task", "result": result, "error": None if error is None else error.wire()})

    def _reboot(self, request: dict[str, Any]) -> None:
        lock = self._need_lock(request)
        from hakit.agent.upkeep import reboot

        self._work.say = self._say
        try:
            reboot(lock, self._work)
        except Failure as failure:
            self._refuse(failure.message)
            return
        self._channel.send({"ev": "rebooting"})
