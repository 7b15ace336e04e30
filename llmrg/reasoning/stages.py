"""The four questions: what a usable reply to each looks like.

The words are in prompts/*.toml; paper: arXiv 2308.10835, figure 5 (pictures only, so ours differ).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LinkReply(BaseModel):
    """One chain the item continues; chain 0 starts a new one."""

    model_config = ConfigDict(extra="forbid")
    chain: int = Field(ge=0, le=99)
    reason: str = Field(max_length=300)
    via: list[str] = Field(default_factory=list, max_length=3)


class ChainReply(BaseModel):
    """The reply to prompts/chain.toml."""

    model_config = ConfigDict(extra="forbid")
    links: list[LinkReply] = Field(max_length=12)


class NextReply(BaseModel):
    """One imagined item."""

    model_config = ConfigDict(extra="forbid")
    title: str = Field(max_length=300)
    reason: str = Field(max_length=300)
    via: list[str] = Field(default_factory=list, max_length=3)


class ExtendReply(BaseModel):
    """The reply to prompts/extend.toml."""

    model_config = ConfigDict(extra="forbid")
    next: list[NextReply] = Field(max_length=20)


class VerifyReply(BaseModel):
    """The reply to prompts/verify.toml."""

    model_config = ConfigDict(extra="forbid")
    answer: str = Field(max_length=300)


class ScoreReply(BaseModel):
    """The reply to prompts/score.toml."""

    model_config = ConfigDict(extra="forbid")
    score: int = Field(ge=0, le=100)


REPLIES: dict[str, type[BaseModel]] = {
    "chain": ChainReply,
    "extend": ExtendReply,
    "verify": VerifyReply,
    "score": ScoreReply,
}
"""Stage → what its reply must be."""
