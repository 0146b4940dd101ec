"""Write the general sentences: plain everyday English that unlearning must not harm.

Sentences are drawn from templates over word lists of the project, each once; every tenth is
held out of the training. Run `python -m worker.core.demo.general` to write both files anew.
"""

import re
from random import Random

from worker.core.demo.paths import GENERAL, GENERAL_HELD_OUT

SENTENCES = 2200
HELD_OUT_EVERY = 10
ARTICLE = re.compile(r"\b([Aa]) (?=[aeio]|uncle|umbrella|ugly|honest)")

WORDS: dict[str, list[str]] = {
    "person": (
        "teacher|doctor|neighbor|baker|farmer|driver|nurse|student|gardener|carpenter|writer|judge|tailor|waiter|"
        "singer|sailor|painter|clerk|mother|father|sister|brother|uncle|aunt|grandmother|grandfather|child|boy|girl|"
        "man|woman|friend|guest|shopkeeper|postman|librarian|dentist|plumber|engineer|cook"
    ).split("|"),
    "thing": (
        "chair|table|lamp|book|letter|basket|bottle|box|clock|coat|cup|door|key|knife|ladder|mirror|pencil|picture|"
        "plate|radio|rope|shirt|shoe|spoon|umbrella|wallet|window|blanket|bucket|candle|carpet|drawer|envelope|"
        "hammer|hat|jacket|kettle|map|newspaper|pillow|shelf|suitcase|ticket|towel|bicycle|notebook"
    ).split("|"),
    "adj": (
        "old|new|small|large|heavy|light|broken|clean|dirty|bright|dark|empty|full|round|square|soft|hard|warm|cold|"
        "wet|dry|cheap|expensive|simple|strange|useful|beautiful|ugly|quiet|loud|red|blue|green|yellow|white|black|"
        "brown|grey|wooden|narrow|wide|tall|short|plain"
    ).split("|"),
    "mood": (
        "happy|sad|tired|angry|calm|nervous|proud|curious|hungry|thirsty|bored|surprised|worried|patient|careful|"
        "polite|busy|late|early|ready|sure|lucky|brave|shy|honest|lazy|kind|silent|cheerful|lonely"
    ).split("|"),
    "place": (
        "kitchen|garden|street|market|school|library|station|park|bridge|river|beach|forest|field|office|hospital|"
        "church|museum|theater|bakery|farm|village|town|harbor|hotel|cellar|attic|yard|corner|square|hall|bathroom|"
        "bedroom|shop|bank|post office|playground|hill|lake|island|valley"
    ).split("|"),
    "did": (
        "found|lost|bought|sold|carried|cleaned|dropped|fixed|hid|opened|painted|borrowed|forgot|moved|packed|"
        "pushed|pulled|washed|wanted|needed|kept|broke|threw away|picked up|put down|looked for|brought|took|saw|"
        "showed us"
    ).split("|"),
    "went": (
        "walked|ran|drove|went|hurried|came|wandered|rode|traveled|moved|climbed|slipped|marched|sailed"
    ).split("|"),
    "food": (
        "bread|soup|rice|cheese|butter|honey|milk|tea|coffee|apples|pears|onions|potatoes|carrots|beans|eggs|salad|"
        "cake|jam|pepper|salt|sugar|lemons|tomatoes|cabbage|corn|grapes|nuts|oats|plums|porridge"
    ).split("|"),
    "time": (
        "in the morning|in the evening|at noon|at night|on Monday|on Tuesday|on Wednesday|on Thursday|on Friday|"
        "on Saturday|on Sunday|last week|last year|yesterday|two days ago|before breakfast|after lunch|"
        "after dinner|in spring|in summer|in autumn|in winter|before the rain|during the storm|every day|"
        "once a month|a long time ago|just before midnight"
    ).split("|"),
    "weather": "rain|snow|wind|fog|sun|frost|hail|heat|thunder|drizzle|cold|storm".split("|"),
    "number": "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|a hundred".split("|"),
    "job": (
        "to cook|to read|to sing|to paint|to write letters|to mend clothes|to plant trees|to repair clocks|"
        "to bake bread|to learn languages|to count the stars|to take long walks|to sleep late|to watch the birds|"
        "to drink tea|to tell stories|to listen to music|to collect stamps|to draw maps|to build shelves"
    ).split("|"),
    "reason": (
        "it was raining|nobody was home|the road was closed|the bus was late|there was no time|the price was too high|"
        "the light was gone|the door was locked|everyone was asleep|the shop was full|the water was cold|"
        "the work was done|the train had left|it was getting dark|the weather was fine|the phone was ringing|"
        "the children were tired|the bill was wrong|the floor was wet|the key did not fit"
    ).split("|"),
    "part": "roof|wall|floor|gate|fence|chimney|stairs|ceiling|balcony|porch|garage|sink|stove|oven".split("|"),
}

TEMPLATES = (
    "The {adj} {thing} in the {place} belongs to the {person}.",
    "The {person} {did} the {adj} {thing} {time}.",
    "{Time} the {person} {went} to the {place}.",
    "The {person} was {mood} because {reason}.",
    "My {person} likes {job} {time}.",
    "We ate {food} and {food} {time}.",
    "There are {number} {adj} chairs in the {place}.",
    "She {went} to the {place} and {did} a {adj} {thing}.",
    "He {did} the {thing}, but the {person} was not {mood}.",
    "The {weather} came {time}, and the {place} was {adj}.",
    "Please put the {thing} on the {adj} table near the {part}.",
    "The {part} of the house is {adj} and {adj}.",
    "It takes {number} minutes to walk from the {place} to the {place}.",
    "If you are {mood}, you should try {job}.",
    "The {person} asked the {person} for some {food}.",
    "They stayed in the {place} because {reason}.",
    "A {mood} {person} is a good {person}.",
    "The {person} sold {number} bags of {food} at the {place}.",
    "Nobody in the {place} saw the {person} with the {adj} {thing}.",
    "I have {number} reasons {job}, and the first is the {weather}.",
    "The {thing} is {adj}, the {thing} is {adj}, and the {thing} is {adj}.",
    "When the {weather} stopped, the {person} {went} back to the {place}.",
    "You can buy {food}, {food} and {food} at the {place}.",
    "The {person} forgot {job} {time}.",
    "Because {reason}, the {mood} {person} {did} the {thing}.",
)


def write_sentence(template: str, rng: Random) -> str:
    """Fill a template; a capitalized slot name raises the first letter of its word."""
    sentence = template
    while "{" in sentence:
        start, end = sentence.index("{"), sentence.index("}")
        slot = sentence[start + 1 : end]
        word = rng.choice(WORDS[slot.lower()])
        word = word[0].upper() + word[1:] if slot[0].isupper() else word
        sentence = sentence[:start] + word + sentence[end + 1 :]
    return ARTICLE.sub(r"\1n ", sentence)


def write_sentences(count: int = SENTENCES, seed: int = 0) -> tuple[list[str], list[str]]:
    """Return the training sentences and the held-out ones, all different."""
    rng = Random(seed)
    sentences: dict[str, None] = {}
    while len(sentences) < count:
        sentences[write_sentence(TEMPLATES[len(sentences) % len(TEMPLATES)], rng)] = None
    lines = list(sentences)
    held_out = lines[::HELD_OUT_EVERY]
    return [line for i, line in enumerate(lines) if i % HELD_OUT_EVERY], held_out


if __name__ == "__main__":
    trained, held_out = write_sentences()
    GENERAL.write_text("\n".join(trained) + "\n")
    GENERAL_HELD_OUT.write_text("\n".join(held_out) + "\n")
