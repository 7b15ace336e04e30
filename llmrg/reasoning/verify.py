"""Stage 3, self-verification and scoring: hide a node of a link, ask again, score the answer.

Paper: arXiv 2308.10835, "self-verification and scoring" (random masking, abductive reasoning,
scoring). What the paper leaves open: we hide one node of the *new* link, its item or what it runs
through, chosen by a hash of the chain, so that the same chain is always questioned the same way;
an answer that equals the hidden node scores 100 without being sent to the scorer.
"""

from __future__ import annotations

import hashlib
import json

from llmrg.errors import ReplyError
from llmrg.reasoning.ask import Asker, describe_attributes, describe_steps, prompt_digest
from llmrg.reasoning.stages import ScoreReply, VerifyReply
from llmrg.text import clean, normalize
from llmrg.types import Attributes, Chain, Node, Verdict


async def verify(
    asker: Asker,
    chain: Chain,
    *,
    new_steps: int,
    profile: Attributes,
    threshold: float,
    proposed_by: str = "chain",
) -> Verdict:
    """Question the newest link of a chain.

    Args:
        chain: as it would read with the link attached.
        new_steps: how many of its last steps belong to the link.
        threshold: smallest accepted score, 0 to 100.
        proposed_by: the stage that thought of the link, for its provenance.

    Returns:
        The verdict. A reply that stays unusable is counted as "verify.invalid" and scores 0: what
        could not be verified is not accepted.
    """
    place = len(chain.steps) - 1 - _choose(chain, new_steps)
    hidden = chain.steps[place].node
    data = {
        "profile": describe_attributes(profile),
        "steps": describe_steps(chain.masked(place)),
        "hidden": hidden.kind,
    }
    try:
        answer = clean((await asker.ask("verify", VerifyReply, data)).answer)
        score = await _score(asker, hidden, answer)
    except ReplyError:
        asker.tally["verify.invalid"] += 1
        answer, score = "", 0.0
    accepted = score >= threshold
    asker.tally["verify.accepted" if accepted else "verify.rejected"] += 1
    return Verdict(
        score=score,
        accepted=accepted,
        chance=None,
        hidden=hidden.key,
        answered=answer,
        reasoner=asker.llm.name,
        prompt=prompt_digest(proposed_by, "verify", "score"),
    )


def _choose(chain: Chain, new_steps: int) -> int:
    """How far from the tip the hidden node stands: a hash of the chain's texts decides."""
    texts = json.dumps([step.node.text for step in chain.steps])
    digest = hashlib.sha256(texts.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") % new_steps


async def _score(asker: Asker, hidden: Node, answer: str) -> float:
    if not answer:
        return 0.0
    name = normalize(hidden.text)
    if answer == hidden.text or (name and normalize(answer) == name):
        return 100.0
    data = {"kind": hidden.kind, "truth": clean(hidden.text), "guess": answer}
    return float((await asker.ask("score", ScoreReply, data)).score)
