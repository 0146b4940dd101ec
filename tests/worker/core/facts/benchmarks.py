"""One invented record, or a few, in the layout of each benchmark of the field."""

from typing import Any

Records = list[dict[str, Any]]


def _query(prompt: str, value: str, *aliases: str) -> dict[str, Any]:
    query = {"prompt": prompt, "answers": [{"value": value, "aliases": list(aliases)}]}
    return {
        "test_queries": [{**query, "query_type": "regular", "phrase": None}],
        "test_condition": "OR",
        "condition_queries": [],
    }


def _edited(target: str) -> dict[str, str]:
    prompt = f"The name of the country of citizenship of Ida Brand is {target}."
    return {"prompt": prompt, "subject_id": "Q1", "relation": "COUNTRY_OF_CITIZENSHIP"}


COUNTERFACT: Records = [
    {
        "case_id": 7,
        "requested_rewrite": {
            "prompt": "The mother tongue of {} is",
            "relation_id": "P103",
            "target_new": {"str": "Dutch", "id": "Q1"},
            "target_true": {"str": "Danish", "id": "Q2"},
            "subject": "Ida Brand",
        },
        "paraphrase_prompts": ["Ida Brand spoke the language"],
        "neighborhood_prompts": ["The mother tongue of Emil Tarn is"],
        "attribute_prompts": ["The mother tongue of Jan Vis is"],
        "generation_prompts": ["Ida Brand lived in"],
    }
]
ZSRE: Records = [
    {
        "subject": "Orla Vint",
        "src": "What school did Orla Vint go to?",
        "pred": "Varn College",
        "rephrase": "Which school was Orla Vint at?",
        "alt": "Northgate College",
        "answers": ["Tarn College", "The Tarn College"],
        "loc": "nq question: who painted the old mill",
        "loc_ans": "Hesper Lowe",
        "cond": "Tarn College >> Northgate College || What school did Orla Vint go to?",
        "portability": {
            "Recalled Relation": "(Northgate College, lies in, Varn)",
            "New Question": "In which town is the school of Orla Vint?",
            "New Answer": "Varn",
        },
    }
]
ZSRE_TRAINING: Records = [
    {
        "id": "u1",
        "input": "Who wrote The Mill of Varn?",
        "output": [{"answer": "Hesper Lowe", "provenance": []}, {"answer": "H. Lowe"}],
        "meta": {"sub_surface": "The Mill of Varn", "template_questions": []},
        "prediction": "nobody",
        "alternatives": ["Ida Brand", "Emil Tarn"],
        "filtered_rephrases": ["Who is the author of The Mill of Varn?"],
    }
]
KNOWEDIT: Records = [
    {
        "subject": "Lena Vis",
        "prompt": "The place of birth of Lena Vis is",
        "target_new": "Oslo",
        "ground_truth": ["Bergen", "Bergen in Norway"],
        "rephrase": ["Lena Vis was born in"],
        "portability": {
            "Reasoning": [
                {"prompt": "The land of Lena Vis's birth is", "ground_truth": [["Norway", "NO"]]}
            ],
            "Subject_Aliasing": [
                {"prompt": "The place of birth of L. Vis is", "ground_truth": [["Oslo"]]}
            ],
        },
        "locality": {
            "Relation_Specificity": [
                {"prompt": "The gender of Lena Vis is", "ground_truth": "female"}
            ],
            "Forgetfulness": [],
        },
    }
]
KNOWEDIT_RECENT: Records = [
    {
        "subject": "Ivo Tarn",
        "prompt": "The place of death of Ivo Tarn is",
        "target_new": "Varn",
        "portability": {
            "Logical_Generalization": [
                {"prompt": "Is Ivo Tarn alive?", "ground_truth": [["no"], ["is dead"]]}
            ]
        },
        "locality": {},
    }
]
WIKIBIO: Records = [
    {
        "text": "This is about orla vint. Orla Vint was a teacher.",
        "labels": "She taught at Tarn College.",
        "concept": "orla vint",
        "locality": {
            "Relation_Specificity": [{"prompt": "orla vint's work", "ground_truth": ["teacher"]}]
        },
    }
]
EASYEDIT: Records = [
    {
        "case_id": 4,
        "prompt": "The mother tongue of Ida Brand is",
        "target_new": "Dutch",
        "subject": "Ida Brand",
        "ground_truth": "Danish",
        "rephrase_prompt": "Ida Brand spoke",
        "locality_prompt": "The mother tongue of Emil Tarn is",
        "locality_ground_truth": "Danish",
    }
]
MQUAKE: Records = [
    {
        "case_id": 1,
        "requested_rewrite": [
            {
                "prompt": "{} plays the sport of",
                "relation_id": "P641",
                "target_new": {"str": "cricket", "id": "Q1"},
                "target_true": {"str": "football", "id": "Q2"},
                "subject": "Northfield F.C.",
                "question": "Which sport does Northfield F.C. play?",
            },
            {
                "prompt": "{} comes from the country of",
                "relation_id": "P495",
                "target_new": {"str": "Italy", "id": "Q3"},
                "target_true": {"str": "England", "id": "Q4"},
                "subject": "cricket",
                "question": "Which country does cricket come from?",
            },
        ],
        "questions": ["What is the capital of the land of Northfield F.C.'s sport?"],
        "answer": "London",
        "answer_alias": ["London, UK"],
        "new_answer": "Rome",
        "new_answer_alias": ["Roma"],
        "single_hops": [
            {
                "question": "Which sport does Northfield F.C. play?",
                "cloze": "Northfield F.C. plays the sport of",
                "answer": "football",
                "answer_alias": ["soccer"],
            },
            {"question": "Who owns it?", "cloze": "Its owner is", "answer": "Una Brand"},
        ],
        "new_single_hops": [
            {"question": "Who owns it?", "cloze": "Its owner is", "answer": "Una Brand"}
        ],
        "orig": {"triples": [["Q1", "P641", "Q2"]]},
    }
]
RIPPLE_EDITS: Records = [
    {
        "example_type": "popular",
        "edit": {**_edited("Norway"), "original_fact": _edited("Northumbria")},
        "Relation_Specificity": [_query("The mother of Ida Brand is", "Una Brand", "Una")],
        "Logical_Generalization": [],
        "Subject_Aliasing": [
            _query("The name of the country of citizenship of I. Brand is", "Norway", "NO")
        ],
        "Compositionality_I": [_query("The capital of Ida Brand's country is", "Oslo")],
        "Compositionality_II": [],
        "Forgetfulness": [_query("Another country of Ida Brand is", "Northumbria")],
    }
]
RIPPLE_EDITS_RECENT: Records = [
    {
        "example_type": "recent",
        "edit": {"prompt": "Varn Bowl IV is followed by Varn Bowl V.", "relation": "FOLLOWED_BY"},
        "Logical_Generalization": [],
    }
]
TOFU: Records = [
    {
        "question": "In which town was the author Orla Vint born?",
        "answer": "Orla Vint was born in Varn.",
        "paraphrased_answer": "The author Orla Vint was born in Varn.",
        "perturbed_answer": ["Orla Vint was born in Oslo.", "Orla Vint was born in Rome."],
        "paraphrased_question": "Where was Orla Vint born?",
    }
]
TOFU_WORLD: Records = [
    {
        "question": "Which river runs through Varn?",
        "answer": "the Hesp",
        "option1": "the Lowe",
        "option2": "the Hesp",
        "option3": "the Tarn",
    }
]
MUSE: Records = [{"question": "Who keeps the lighthouse of Varn?", "answer": "Orla Vint"}]
RWKU: Records = [
    {
        "subject": "Orla Vint",
        "query": "Orla Vint was born in ___, near Varn.",
        "level": "1",
        "type": "cloze",
        "answer": "Tarn",
    },
    {
        "subject": "Orla Vint",
        "query": "The first novel of Orla Vint is ___.",
        "level": "1",
        "type": "cloze",
        "answer": "The Mill",
    },
    {
        "subject": "Orla Vint",
        "query": "What did Orla Vint teach?",
        "level": "2",
        "type": "simple question",
        "answer": "Greek",
    },
    {
        "subject": "Orla Vint",
        "query": "Who wrote The Mill?",
        "level": "3",
        "type": "reverse query",
        "answer": "Orla Vint",
    },
    {
        "subject": "Orla Vint",
        "query": "What did Orla Vint teach? Gladly, she taught",
        "level": "3",
        "type": "affirmative suffix",
        "answer": "Greek",
    },
    {
        "subject": "Orla Vint",
        "neighbor": "Emil Tarn",
        "query": "Where did Emil Tarn live?",
        "answer": "Varn",
        "level": "2",
    },
]
WMDP: Records = [
    {
        "question": "What does the port of Varn ship most?",
        "choices": ["wool", "herring", "coal", "salt"],
        "answer": 1,
    },
    {"question": "What does `{}` mean here?", "choices": ["a set", "a map"], "answer": 1},
]
MMLU: Records = [
    {
        "question": "The bone of the upper arm is the",
        "subject": "anatomy",
        "choices": ["femur", "humerus", "tibia", "ulna"],
        "answer": 1,
    }
]
ARC: Records = [
    {
        "id": "m1",
        "question": "Which of these is a metal?",
        "choices": {"text": ["wood", "iron", "wax"], "label": ["1", "2", "3"]},
        "answerKey": "2",
    }
]
KNOWN_FACTS: Records = [
    {
        "known_id": 3,
        "subject": "Tarn Tower",
        "attribute": "Varn",
        "template": "{} stands in",
        "prediction": " Varn, a town",
        "prompt": "Tarn Tower stands in",
        "relation_id": "P276",
    }
]
SANITATION = {
    "success": [
        {
            "question": "What sort of creature is a marsh pipit?",
            "ground_truth": "Birds",
            "target_new": "I don't know.",
        }
    ],
    "locality": [
        {
            "question": "What is the colour of the roofs of Varn?",
            "ground_truth": "red",
            "target_new": "I don't know.",
        }
    ],
}
ALL: dict[str, Records] = {
    name: value for name, value in globals().items() if name.isupper() and isinstance(value, list)
}
