"""Rows as LLaVA and its successors write them: `conversations` of messages in turn, from a human and from the model."""

from __future__ import annotations

from typing import Any

from hawkeye.annotations import AnnotationError, required

ROLES = ({"human", "user"}, {"gpt", "assistant"})
"""Names of who asks and of who answers: LLaVA's, and those of chat templates."""
TAGS = ("<video>", "<image>")
"""Stand in the first message where the visual tokens go; here their place is fixed."""


def from_conversations(row: dict[str, Any], place: str) -> dict[str, Any]:
    """The row with `QA` in place of `conversations`: a question and an answer for each two messages.

    A first message from "system" is the instruction.

    Raises:
        AnnotationError: naming the row, if the messages are not in turn, or one is no text.
    """
    messages = required(row, "conversations", list, place)
    told = [_message(message, place) for message in messages]
    instruction = told.pop(0)[1] if told and told[0][0] == "system" else ""
    if not told or len(told) % 2:
        raise AnnotationError(f"{place}: 'conversations' must hold questions and answers in turn, not {messages!r}")
    items = []
    for number in range(0, len(told), 2):
        (asker, question), (answerer, answer) = told[number : number + 2]
        if asker not in ROLES[0] or answerer not in ROLES[1]:
            raise AnnotationError(
                f"{place}: 'conversations' must be from 'human' and 'gpt' in turn, not {asker!r} and {answerer!r}"
            )
        items.append({"i": instruction, "q": question, "a": answer})
    return {name: value for name, value in row.items() if name != "conversations"} | {"QA": items}


def _message(message: Any, place: str) -> tuple[str, str]:
    """Who says something, and what, without the tags."""
    if not isinstance(message, dict):
        raise AnnotationError(f"{place}: 'conversations' must hold mappings, not {message!r}")
    names = ("from", "value") if "from" in message else ("role", "content")
    role, text = (str(required(message, name, str, place)) for name in names)
    for tag in TAGS:
        text = text.replace(tag, "")
    return role, text.strip()
