"""Every error llmrg raises on purpose; each message names the value, the place and the way out.

LLMRGError
├── ConfigError  ── PromptError, ResourceError                  fix the file
├── DataError    ── GraphError, LeakageError                    fix the data
├── LLMError     ── Unavailable, Refused, ReplyError            the model or its server
├── KnowledgeError                                              the knowledge base or its file
└── NotFittedError, MissingExtra                                fix the call or the install
"""


class LLMRGError(Exception):
    """Base of all errors raised on purpose; the command line prints it without a traceback."""


class ConfigError(LLMRGError):
    """A pipeline file, a `--set` or an environment variable is wrong."""


class PromptError(ConfigError):
    """A prompt file is malformed, or a value it needs was not given."""


class ResourceError(ConfigError):
    """A file that ships with llmrg, or that the user named, cannot be found."""


class DataError(LLMRGError):
    """An input table holds something that cannot be used as it is."""


class GraphError(DataError):
    """A reasoning graph contradicts its own format, or the data it is used with."""


class LeakageError(DataError):
    """Something that must be hidden from training was found in its input."""


class LLMError(LLMRGError):
    """One request to a language model did not yield a usable answer."""


class Unavailable(LLMError):
    """The server could not answer now: trying again later may help.

    Attributes:
        retry_after: seconds the server asked us to wait, if it said so.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(LLMError):
    """The server or the model will not answer this request: do not send it again.

    Attributes:
        every_request: True if no other request will fare better: a wrong key, an unknown model, a
            spent quota. A job stops at the first of these.
    """

    def __init__(self, message: str, *, every_request: bool = False) -> None:
        super().__init__(message)
        self.every_request = every_request


class ReplyError(LLMError):
    """The reply was paid for but is not what the question asked for.

    Attributes:
        text: the reply as it came; it is never thrown away.
    """

    def __init__(self, message: str, *, text: str) -> None:
        super().__init__(message)
        self.text = text


class KnowledgeError(LLMRGError):
    """The knowledge base is unreadable, too new, or used with data it does not belong to."""


class NotFittedError(LLMRGError):
    """A recommender was asked for scores before `fit` or `load`."""


class MissingExtra(LLMRGError):
    """A feature needs packages that an optional extra installs.

    Args:
        feature: what was asked for, as the start of a sentence.
        package: the import that failed.
        extra: the extra that brings it.
    """

    def __init__(self, feature: str, *, package: str, extra: str) -> None:
        super().__init__(f'{feature} needs {package}; run: pip install "llmrg[{extra}]"')
