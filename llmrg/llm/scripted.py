"""An LLM for tests: it says what it was told to say and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable

from llmrg.llm.base import Reply, Request

Answer = str | Reply | BaseException
Line = Answer | Callable[[Request], Answer]


class Scripted:
    """Answers from a script, one line per request.

    Args:
        lines: a text or a Reply is returned, an exception is raised. A function of the request
            gives one of these; as the last line it answers every further request too.

    Attributes:
        requests: what was asked so far, oldest first.

    Example:
        >>> llm = Scripted('{"score": 85}', Unavailable("busy"), lambda request: request.stage)
    """

    def __init__(self, *lines: Line, name: str = "scripted", model: str = "scripted") -> None:
        self.requests: list[Request] = []
        self._lines = lines
        self._name = name
        self._model = model

    @property
    def name(self) -> str:
        """ "scripted", unless told otherwise."""
        return self._name

    @property
    def model(self) -> str:
        """ "scripted", unless told otherwise."""
        return self._model

    async def complete(self, request: Request) -> Reply:
        """Say the next line.

        Raises:
            AssertionError: after the last line. It is no LLMError, so that nothing takes a script
                that is too short for a server's failure.
        """
        place = len(self.requests)
        self.requests.append(request)
        if place < len(self._lines):
            line = self._lines[place]
        elif self._lines and callable(self._lines[-1]):
            line = self._lines[-1]
        else:
            raise AssertionError(
                f"the script ran out: it has {len(self._lines)} lines, and request {place + 1} "
                f"came (stage '{request.stage}'); add a line, or end with a function"
            )
        answer = line(request) if callable(line) else line
        if isinstance(answer, BaseException):
            raise answer
        return Reply(answer) if isinstance(answer, str) else answer
