"""What is said of each way in which a tokenizer can cut facts badly, and the cure."""

from dataclasses import dataclass

from worker.contract.tokens import Severity


@dataclass(frozen=True)
class Words:
    """One finding's words."""

    title: str
    explanation: str
    cure: str
    severity: Severity


WORDS: dict[str, Words] = {
    "subject": Words(
        "The subject has no tokens of its own",
        "A token holds characters of the subject and of its neighbours, or the subject is not in "
        "the prompt. Where the subject begins and ends is found by characters; a shared token "
        "cannot be given to either side.",
        "Put a space on both sides of {} in the prompt, or reword it.",
        "refused",
    ),
    "joined": Words(
        "The answer is joined to the prompt",
        "The prompt's last token changes when the answer follows, so what is asked with the prompt "
        "alone is not what the answer continues.",
        "End the prompt with a whole word, without a hyphen, an opening quotation mark or half a "
        "word.",
        "refused",
    ),
    "long": Words(
        "Longer than the model reads",
        "Prompt and answer have more tokens than the model has positions.",
        "Shorten the prompt, or choose a model with a longer context.",
        "refused",
    ),
    "trailing": Words(
        "Spaces at the end",
        "The prompt ends with a space. Most tokenizers keep that space as a token of its own, and "
        "the answer then begins without the space that it was learned with.",
        "Take the spaces at the prompt's end away; the space before the answer is added.",
        "look",
    ),
    "start": Words(
        "The beginning-of-text token stands twice",
        "The tokenizer puts it before every text, and the prompt has it once more. Models rarely "
        "saw two in training, and their answers get worse.",
        "Take the token out of the prompts.",
        "look",
    ),
    "unreadable": Words(
        "Characters that the tokenizer does not have",
        "They all become the same unknown token, so subjects that differ only in them are one to "
        "the model.",
        "Write the names in the letters that the model was trained on.",
        "look",
    ),
    "same_first": Words(
        "Target and edit target begin with the same token",
        "Methods that compare first tokens see no difference between the two answers: their logit "
        "difference is always zero.",
        "Choose another edit target, or the metric probability.",
        "look",
    ),
    "shared_first": Words(
        "Different targets begin with the same token",
        "A rank, and every method that traces the first token, cannot tell these answers apart. "
        "Probabilities of whole answers can.",
        "Compare probabilities of whole answers, or choose facts whose answers begin differently.",
        "look",
    ),
    "several": Words(
        "Answers of several tokens",
        "They are scored whole: the probabilities of their tokens are multiplied, each given the "
        "true ones before it. Localization traces the first token.",
        "Nothing needs to be done. Longer answers have lower probabilities; compare like with "
        "like.",
        "told",
    ),
    "unknown": Words(
        "Facts that the model does not seem to know",
        "Of a sample that was asked, these answers' first tokens have a probability below 0.1. "
        "What a model does not know cannot be found in it, and its localization is refused.",
        "Measure the whole set under “What the model knows”, and save what it knows as a split.",
        "look",
    ),
}
