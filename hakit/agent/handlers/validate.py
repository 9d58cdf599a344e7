"""Validators: a daemon's own judgement of copies of a set, before anything is replaced."""

from __future__ import annotations

import os

from hakit.agent import disk
from hakit.agent.errors import Failure
from hakit.agent.process import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

    from hakit.agent.resources.files import Files, Validator
    from hakit.agent.work import Work

TELLING = 8  # characters of a line of a secret that must not be quoted alone; shorter ones are common words
LINES = 12  # lines of output that tell enough


def missing(resource: Files) -> str | None:
    """A validator's program that is not installed, or None."""
    return next((one.argv[0] for one in resource.validate if find(one.argv[0]) is None), None)


def judge(resource: Files, work: Work) -> None:
    """Judge copies of the set in a private folder, under their own names. Raises Failure with the place of the fault.

    In the copies the set's own paths stand for the copies too, so that an include is judged in its new version.
    """
    if not resource.validate:
        return
    folder = work.state.scratch()
    try:
        for validator in resource.validate:
            copies = _lay_out(resource, validator, folder)
            _ask(validator, copies, resource, work)
    finally:
        disk.delete_tree(folder)


def _lay_out(resource: Files, validator: Validator, folder: str) -> dict[str, str]:
    """Write the copies for one validator; real path → copy."""
    copies = {file.path: folder + file.path for file in resource.files}
    for file in resource.files:
        text = _swap(file.content.reveal(), validator)
        if len(copies) > 1:
            text = _redirect(text, {path: copy for path, copy in copies.items() if path != file.path})
        disk.make_folder(os.path.dirname(copies[file.path]))
        disk.write(copies[file.path], text.encode("utf-8"), file.mode)
    return copies


def _swap(text: str, validator: Validator) -> str:
    if not validator.swap:
        return text
    import re

    lines = text.split("\n")
    for pattern, replacement in validator.swap:
        compiled = re.compile(pattern)
        lines = [compiled.sub(replacement, line) for line in lines]
    return "\n".join(lines)


def _redirect(text: str, copies: dict[str, str]) -> str:
    if not any(path in text for path in copies):
        return text
    import re

    longest_first = sorted(copies, key=len, reverse=True)
    paths = "|".join(re.escape(path) for path in longest_first)
    return re.sub(rf"(?<![\w./-])(?:{paths})(?![\w/-])", lambda found: copies[found[0]], text)


def _ask(validator: Validator, copies: dict[str, str], resource: Files, work: Work) -> None:
    argv = [_fill(word, copies) for word in validator.argv]
    result = work.run(argv, validator.timeout)
    output = result.tail()
    for path, copy in copies.items():
        output = output.replace(copy, path)
    for file in resource.files:
        if file.content.secret:
            output = mask(output, file.content.reveal(), file.content.masked())
    name = os.path.basename(validator.argv[0])
    if result.late:
        raise Failure(f"{name} did not judge {validator.path} within {validator.timeout:g} s", output=_end(output))
    if result.code in validator.ok and not _rejects(validator, output):
        return
    found = _place(validator, output)
    groups = {} if found is None else found.groupdict()
    line = groups.get("line")
    message = groups.get("message") or f"exit {result.code}"
    raise Failure(
        f"{name} rejects {validator.path}: {message.strip()}",
        output=_end(output),
        path=groups.get("path") or validator.path,
        line=int(line) if line and line.isdigit() else None,
    )


def mask(output: str, text: str, masked: str) -> str:
    """Output of a command in which no secret of `text` is left; `masked` is the text with a placeholder for each."""
    import re

    parts = re.split("(<secret:[^>]*>)", masked)
    pattern = "".join("(.*?)" if number % 2 else re.escape(part) for number, part in enumerate(parts))
    found = re.fullmatch(pattern, text, re.DOTALL)
    if found is None:
        return "(hidden: it may quote a secret)" if output else ""
    pairs = zip(found.groups(), parts[1::2])  # noqa: B905 - equal by construction; Python 3.9 knows no strict
    for secret, name in sorted(pairs, key=lambda pair: -len(pair[0])):
        for part in (secret, *(line for line in secret.splitlines() if len(line) >= TELLING)):
            if part:
                output = output.replace(part, name)
    return output


def _fill(word: str, copies: dict[str, str]) -> str:
    for path, copy in copies.items():
        word = word.replace("{" + path + "}", copy)
    return word


def _rejects(validator: Validator, output: str) -> bool:
    if not validator.reject:
        return False
    import re

    return re.search(validator.reject, output, re.MULTILINE) is not None


def _place(validator: Validator, output: str) -> re.Match[str] | None:
    if not validator.place:
        return None
    import re

    return re.search(validator.place, output, re.MULTILINE)


def _end(output: str) -> str:
    return "\n".join(output.splitlines()[-LINES:])
