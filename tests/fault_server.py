"""A chat server that misbehaves on order.

It is written on bare sockets, so no HTTP library smooths over what it does wrong.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

Trick = Callable[[asyncio.StreamWriter], Awaitable[None]]


class FaultServer:
    """Answers the n-th request with the n-th line of its script, and the last one ever after.

    A line is the raw bytes of an HTTP response, or a coroutine function that is given the writer.
    Each connection carries one request.
    """

    def __init__(self, *script: bytes | Trick) -> None:
        self.requests: list[bytes] = []
        self._script = script
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._answer, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def sent(self, index: int = -1) -> Any:
        """The JSON body of a request it received."""
        return json.loads(self.requests[index].partition(b"\r\n\r\n")[2])

    def close(self) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(5)

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            )
            body = await reader.readexactly(length)
            line = self._script[min(len(self.requests), len(self._script) - 1)]
            self.requests.append(head + body)
            if isinstance(line, bytes):
                writer.write(line)
            else:
                await line(writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client gave up first, which some tests are about
        finally:
            writer.close()


def http(status: int, body: object, *, kind: str = "application/json", **headers: str) -> bytes:
    """The bytes of one response; a `body` that is not text or bytes is sent as JSON."""
    if not isinstance(body, str | bytes):
        body = json.dumps(body)
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Told", f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + content


def completion(content: object = "forty-two", finish: object = "stop", **fields: Any) -> Any:
    """The JSON of a chat completion; `fields` go into its message."""
    message = {"role": "assistant", "content": content, **fields}
    return {
        "id": "c-1",
        "object": "chat.completion",
        "model": "tiny-served",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }
