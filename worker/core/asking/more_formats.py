"""Ways of asking that are not the bundled model's renderings: shots, prefixes, chat, languages."""

from collections.abc import Callable

from worker.contract.facts import Fact, fill
from worker.core.asking.setting import Ask, NotAsked, Setting


def _few_shot(fact: Fact, how: Setting) -> list[Ask]:
    shots = [f"{shot.text} {shot.target}" for shot in how.shots if shot.id != fact.id]
    if not shots:
        raise NotAsked("no retain fact is there to be a shot")
    return [Ask("\n".join([*shots, fact.text]), *_plain(fact))]


def _chat(fact: Fact, how: Setting) -> list[Ask]:
    tokenizer = how.model.tokenizer if how.model else None
    if tokenizer is None or not tokenizer.chat_template:
        raise NotAsked("the model's tokenizer has no chat template")
    asked = fill(fact.question, fact.subject) if fact.question else f"{fact.text} what?"
    message = [{"role": "user", "content": asked}]
    prompt = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    return [Ask(str(prompt), fact.target, fact.edit_target)]


def _prefix(fact: Fact, how: Setting) -> list[Ask]:
    if not how.prefixes:
        raise NotAsked("no prefix was given")
    return [Ask(f"{prefix} {fact.text}", *_plain(fact)) for prefix in how.prefixes]


def _translated(fact: Fact, how: Setting) -> list[Ask]:
    if not fact.translations:
        raise NotAsked("the fact has no translation")
    return [
        Ask(
            fill(one.prompt, fact.subject),
            f" {one.target or fact.target}",
            f" {edit}" if (edit := one.edit_target or fact.edit_target) else "",
        )
        for one in fact.translations
    ]


def _own(fact: Fact, how: Setting) -> list[Ask]:
    if not how.templates:
        raise NotAsked("no template was given")
    return [Ask(fill(t, fact.subject), *_plain(fact)) for t in how.templates]


def _plain(fact: Fact) -> tuple[str, str]:
    return f" {fact.target}", f" {fact.edit_target}" if fact.edit_target else ""


MORE: dict[str, tuple[str, Callable[[Fact, Setting], list[Ask]]]] = {
    "few_shot": ("Statement after three other facts", _few_shot),
    "prefix": ("Statement after a leading sentence", _prefix),
    "chat": ("The tokenizer's chat template", _chat),
    "translated": ("Another language, where the fact has one", _translated),
    "own": ("The user's own templates", _own),
}
"""Name -> title and rendering."""
