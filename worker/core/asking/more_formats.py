"""Ways of asking that are not the bundled model's renderings: shots, prefixes, chat, languages."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from worker.contract.facts import Fact, fill
from worker.contract.joining import following
from worker.core.asking.setting import Ask, NotAsked, Setting, ask_joined, ask_own, question_of


def _few_shot(fact: Fact, how: Setting) -> list[Ask]:
    shots = [shot.said() for shot in how.shots if shot.id != fact.id]
    if not shots:
        raise NotAsked("no retain fact is there to be a shot")
    own = ask_own(fact)
    return [replace(own, prompt="\n".join([*shots, own.prompt]))]


def _chat(fact: Fact, how: Setting) -> list[Ask]:
    tokenizer = how.model.tokenizer if how.model else None
    if tokenizer is None or not tokenizer.chat_template:
        raise NotAsked("the model's tokenizer has no chat template")
    if not fact.question:
        refuse_cut_words(fact)
    message = [{"role": "user", "content": fill(question_of(fact), fact.subject)}]
    prompt = str(tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))
    target = _in_template(tokenizer, message, prompt, fact.target)
    edit = _in_template(tokenizer, message, prompt, fact.edit_target)
    return [Ask(_begun_once(tokenizer, prompt), target, edit)]


def _in_template(tokenizer: Any, asked: list[dict[str, str]], prompt: str, answer: str) -> str:
    """Give an answer with what the chat template writes before it; by the rule where it is odd."""
    if not answer:
        return ""
    told = [*asked, {"role": "assistant", "content": answer}]
    whole = str(tokenizer.apply_chat_template(told, tokenize=False))
    at = whole.find(answer, len(prompt))
    if at >= 0 and whole.startswith(prompt) and not whole[len(prompt) : at].strip():
        return whole[len(prompt) : at] + answer
    return following(prompt, answer)


def _begun_once(tokenizer: Any, prompt: str) -> str:
    """Take the beginning-of-text token away where the tokenizer puts it before every text."""
    start = tokenizer.bos_token
    adds = bool(start) and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return prompt.removeprefix(start) if adds else prompt


def _prefix(fact: Fact, how: Setting) -> list[Ask]:
    if not how.prefixes:
        raise NotAsked("no prefix was given")
    own = ask_own(fact)
    return [replace(own, prompt=f"{prefix} {own.prompt}") for prefix in how.prefixes]


def _translated(fact: Fact, how: Setting) -> list[Ask]:
    if not fact.translations:
        raise NotAsked("the fact has no translation")
    return [
        ask_joined(
            fill(one.prompt, fact.subject),
            one.target or fact.target,
            one.edit_target or fact.edit_target,
            one.join,
        )
        for one in fact.translations
    ]


def _own(fact: Fact, how: Setting) -> list[Ask]:
    if not how.templates:
        raise NotAsked("no template was given")
    return [ask_joined(fill(t, fact.subject), fact.target, fact.edit_target) for t in how.templates]


def refuse_cut_words(fact: Fact) -> None:
    """Raise NotAsked where the prompt is no sentence whose next word is the answer.

    Of such a prompt ("in the year 19") no question and no blank can be made.
    """
    if not fact.is_apart:
        raise NotAsked("the answer goes on the prompt's last word; a question of its own is needed")


MORE: dict[str, tuple[str, Callable[[Fact, Setting], list[Ask]]]] = {
    "few_shot": ("Statement after three other facts", _few_shot),
    "prefix": ("Statement after a leading sentence", _prefix),
    "chat": ("The tokenizer's chat template", _chat),
    "translated": ("Another language, where the fact has one", _translated),
    "own": ("The user's own templates", _own),
}
"""Name -> title and rendering."""
