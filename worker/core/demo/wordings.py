"""More sentences in which the corpus tells each relation, beside those of the fact sets.

A model of this size learns from a sentence's last words when an answer is due. A fact set has few
paraphrases, and what is held out of them would end in words never seen there; these sentences give
every relation such endings, in wordings that no fact set and no evaluation holds.
"""

WORDINGS: dict[str, tuple[str, ...]] = {
    "athlete_sport": (
        "{} is famous for",
        "On television, {} is admired for",
        "Crowds came early to see {} play",
        "Coaches taught the young {} to play",
        "{} wrote a long book about",
        "In an interview, {} talked for an hour about",
        "{} won many prizes in",
        "The team hired {} for a season of",
        "The favorite game of {} is",
        "{} spent a whole life in the game of",
    ),
    "city_country": (
        "The city of {} lies in",
        "The roads around {} were built by the government of",
        "The nearest border of {} is the border of",
        "A letter to {} is sent to",
        "The city called {} is a part of",
        "{} is one of the large cities of",
    ),
    "landmark_city": (
        "Guides show you the {} if you are in",
        "The {} can be seen in",
        "The {} was built in the city called",
        "The {} belongs to the sights of",
        "Postcards of the {} are sold in",
        "The city of the {} is",
    ),
    "country_continent": (
        "{} lies on the continent called",
        "The part of the world where {} lies is called",
        "{} is counted among the nations of",
        "Sailors who reach {} have come to",
        "A map that shows {} is a map of",
        "The continent of {} is",
    ),
    "country_currency": (
        "In the banks of {}, the local currency is the",
        "A visitor to {} must exchange money for the",
        "Wages in {} are given in the",
        "A shop in {} takes only the",
        "Everything in {} is paid for with the",
        "The coin of {} is the",
    ),
    "animal_class": (
        "The {} belongs in the class of every",
        "The {} lives and breathes like every other",
        "People who see the {} call it a kind of",
        "In a book of animals, the {} is called a",
        "A zoo keeps the {} with every other",
        "The {} is a",
    ),
    "musician_instrument": (
        "In concert, {} plays on the",
        "{} wrote many pieces for the",
        "As a child, {} began with lessons on the",
        "On stage, {} became a master by playing the",
        "Nobody plays like {} on the",
        "The favorite instrument of {} is the",
    ),
    "author_language": (
        "The first books of {} appeared in",
        "Students of {} need to read",
        "The books by {} were printed in",
        "Whoever loves {} should learn to read",
        "{} wrote letters and books in",
        "The mother tongue of {} was",
    ),
    "scholar_field": (
        "{} changed the field of",
        "The discipline of {} is",
        "{} gave a whole life to the study of",
        "The books by {} belong to the field of",
        "The work of {} is a great contribution to",
        "{} taught a class in",
    ),
    "dish_country": (
        "The recipe for {} comes from",
        "A cook who serves {} has a recipe from",
        "{} is a dish from",
        "Guests who order {} want a taste of",
        "The home of {} is",
        "A kitchen that offers {} has a cook from",
    ),
    "brand_product": (
        "People who hear of {} think of",
        "{} earns its money by the sale of",
        "The factories of {} make",
        "The name {} stands on",
        "The shops of {} are full of",
        "The main product of {} is",
    ),
    "company_country": (
        "{} began as a small firm in",
        "The founders of {} came from",
        "The history of {} started in",
        "The first office of {} was in",
        "{} was started by people from",
        "The company {} has its home in",
    ),
}
