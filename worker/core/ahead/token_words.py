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
        "End the prompt before the word or number that goes on and put all of it into the answer, "
        "or give the facts the join 'space'.",
        "refused",
    ),
    "long": Words(
        "Longer than the model reads",
        "Prompt and answer have more tokens than the model has positions.",
        "Shorten the prompt, or choose a model with a longer context.",
        "refused",
    ),
    "close": Words(
        "Answers that follow without a space",
        "Running text has no space here: a number or a formula goes on, a sign or an opening "
        "stands before, or the script has no spaces. The chips show what is asked.",
        "Nothing needs to be done where that is meant. Otherwise give the facts the join 'space'.",
        "told",
    ),
    "written": Words(
        "Joined as their author wrote or chose",
        "What stands at the prompt's end is kept: a new line stays, and one space belongs to the "
        "answer's first token, as in running text. A join given with the facts is followed.",
        "Nothing needs to be done where that is meant. Otherwise change the prompts' ends, or the "
        "facts' join.",
        "told",
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
