from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from llmrg.data.catalog import with_unique_titles
from llmrg.data.interactions import Histories
from llmrg.errors import Refused
from llmrg.llm.base import Message, Request
from llmrg.llm.catalog_reasoner import CatalogReasoner
from llmrg.llm.evidence import gather_evidence
from llmrg.reasoning.stages import ExtendReply
from llmrg.types import MASK

TITLES = ["Alien", "Aliens", "Annie Hall", "Heat", "Brazil"]
GENRES = [("Sci-Fi", "Horror"), ("Sci-Fi", "Horror"), ("Comedy",), ("Crime",), ("Sci-Fi",)]


@pytest.fixture
def catalog():
    attributes = [tuple(("genres", g) for g in genres) for genres in GENRES]
    return with_unique_titles([f"m{i}" for i in range(1, 6)], TITLES, attributes)


def behavior(*histories):
    users = np.array([f"u{i}" for i in range(len(histories))], dtype=object)
    offsets = np.cumsum([0, *map(len, histories)])
    return Histories(users, offsets, np.concatenate(histories).astype(np.int32))


@pytest.fixture
def reasoner(catalog):
    """Knows that four users went from Alien to Heat, and one from Annie Hall to Brazil."""
    known = behavior([1, 4], [1, 4], [1, 4], [1, 4], [3, 5])
    profiles = [(("age", "25"),)] * 4 + [(("age", "50"),)]
    return CatalogReasoner(catalog, gather_evidence(known, profiles, 6), label="all")


def ask(reasoner, stage, **data):
    message = Message("user", f"Data:\n{json.dumps({'most': 2, **data})}\n")
    request = Request(stage, reasoner.model, (Message("system", "…"), message), prompt="p")
    return json.loads(asyncio.run(reasoner.complete(request)).text)


def chains(*tips):
    return [{"number": n, "steps": [{"item": tip}]} for n, tip in enumerate(tips, start=1)]


def test_an_item_continues_the_chain_that_others_went_on_from(reasoner):
    reply = ask(
        reasoner, "chain", profile=[], chains=chains("Annie Hall", "Alien"), next={"title": "Heat"}
    )
    assert [link["chain"] for link in reply["links"]] == [2]
    assert reply["links"][0]["reason"] == "4 other users took it soon after"


def test_a_reason_names_what_two_items_share(reasoner):
    reply = ask(reasoner, "extend", profile=[], steps=[{"item": "Alien"}], attributes=[], wanted=2)
    assert [each["title"] for each in reply["next"]] == ["Heat", "Aliens"]
    assert reply["next"][1]["reason"] == "both have genres: Horror and genres: Sci-Fi"
    assert reply["next"][1]["via"] == ["genres: Horror"]


def test_an_item_nothing_leads_to_starts_from_the_profile_that_takes_it_most(reasoner):
    reply = ask(
        reasoner,
        "chain",
        profile=["age: 25", "sex: F"],
        chains=chains("Brazil"),
        next={"title": "Heat"},
    )
    assert [(link["chain"], link["via"]) for link in reply["links"]] == [(0, [])]
    older = ask(reasoner, "chain", profile=["age: 50"], chains=[], next={"title": "Brazil"})
    assert [(link["chain"], link["via"]) for link in older["links"]] == [(0, ["age: 50"])]


def test_a_hidden_item_is_guessed_from_what_usually_follows(reasoner):
    steps = [{"item": "Alien"}, {"item": MASK, "because": "?"}]
    assert ask(reasoner, "verify", profile=[], steps=steps, hidden="item") == {"answer": "Heat"}


def test_a_hidden_item_must_have_the_attribute_that_leads_to_it(reasoner):
    steps = [{"item": "Alien"}, {"attribute": "genres: Horror"}, {"item": MASK}]
    assert ask(reasoner, "verify", profile=[], steps=steps, hidden="item") == {"answer": "Aliens"}


def test_the_same_item_scores_100_and_the_least_linked_one_0(reasoner):
    def score(guess, truth):
        return ask(reasoner, "score", kind="item", truth=truth, guess=guess)["score"]

    assert score("Alien", "Alien") == 100
    # Most went on from Alien to Heat; Aliens shares more with Alien than Brazil does.
    assert score("Alien", "Heat") > score("Alien", "Aliens") > score("Alien", "Brazil") > 0
    assert score("Alien", "Annie Hall") == 0  # nothing is less linked to Alien
    assert score("Alien", "unknown") == 0


def test_an_unknown_item_links_nothing(reasoner):
    reply = ask(reasoner, "chain", profile=[], chains=chains("Alien"), next={"title": "Dune"})
    assert reply == {"links": []}


def test_its_name_says_what_it_is_and_changes_with_what_it_knows(catalog, reasoner):
    other = CatalogReasoner(catalog, gather_evidence(behavior([1, 2]), [()], 6), label="all")
    assert reasoner.name.startswith("catalog:")
    assert other.name != reasoner.name


def test_a_correction_after_an_unusable_reply_is_answered_like_the_question(reasoner):
    steps = [{"item": "Alien"}, {"item": MASK}]
    data = json.dumps({"profile": [], "steps": steps, "hidden": "item"})
    asked = (Message("user", f"Data:\n{data}\n"), Message("assistant", "?"), Message("user", "No."))
    reply = asyncio.run(reasoner.complete(Request("verify", "m", asked, prompt="p")))
    assert json.loads(reply.text) == {"answer": "Heat"}


def test_a_blind_guess_scores_50_on_average(reasoner):
    scores = [reasoner._percentile(guess, truth) for guess in range(1, 6) for truth in range(1, 6)]
    assert np.mean(scores) == pytest.approx(50.0)


def test_endless_attributes_still_give_replies_that_can_be_used():
    words = [tuple(("tag", f"{n} " + "x" * 400) for n in range(3))] * 2
    catalog = with_unique_titles(["a", "b"], ["A" * 900, "B" * 900], words)
    evidence = gather_evidence(behavior([1, 2]), [()], 3)
    verbose = CatalogReasoner(catalog, evidence, label="x")
    title = catalog.item(1).title
    reply = ask(verbose, "extend", profile=[], steps=[{"item": title}], attributes=[], wanted=1)
    assert ExtendReply.model_validate(reply).next[0].title == catalog.item(2).title


def test_a_question_it_does_not_know_is_refused(reasoner):
    with pytest.raises(Refused, match="'describe'"):
        ask(reasoner, "describe")


def test_a_catalog_without_attributes_or_behavior_is_answered_honestly():
    catalog = with_unique_titles(["a", "b"], ["A", "B"], [(), ()])
    empty = CatalogReasoner(catalog, gather_evidence(behavior([1]), [()], 3), label="none")
    asked = {"profile": [], "steps": [{"item": "A"}], "attributes": [], "wanted": 3}
    assert ask(empty, "extend", **asked) == {"next": []}
    assert ask(empty, "verify", profile=[], steps=[{"item": MASK}], hidden="attribute") == {
        "answer": ""
    }
