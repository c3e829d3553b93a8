"""Invented names: common given names, and surnames whose frequencies fall as in a telephone book.

The name of each index gives an address that no other index has. So the caller decides the share of
homonyms, and it does not depend on the size of the population.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, count
from math import gcd

_WOMEN = (
    "Marie Nathalie Isabelle Sylvie Catherine Christine Sandrine Stéphanie Céline Valérie Sophie "
    "Véronique Émilie Aurélie Julie Laura Camille Sarah Élodie Laetitia Virginie Karine Delphine Hélène "
    "Caroline Pauline Claire Mélanie Audrey Charlotte Marion Lucie Manon Léa Chloé Anaïs Inès Zoé Noémie "
    "Éloïse Mathilde Justine Amandine Florence Corinne Agnès Brigitte Martine Françoise Jacqueline "
    "Monique Odile Solène Gaëlle Maëlle Héloïse Clémence Perrine Bérénice Fatima Nadia Samira Yasmine "
    "Leïla Aïcha Malika Agathe Alix Blandine Capucine Dorothée Edwige Faustine Ghislaine Honorine Iris "
    "Jeanne Ludivine Marguerite Nolwenn Océane Pascale Quitterie Roxane Séverine Tiphaine Ursule Viviane "
    "Yvette Albane"
).split()
_MEN = (
    "Jean Pierre Michel Philippe Alain Nicolas Christophe Patrick Laurent Frédéric Stéphane Olivier "
    "Sébastien Éric Pascal Thierry David Julien Vincent Bruno Thomas Jérôme Guillaume Alexandre Antoine "
    "Maxime Romain Mathieu François Benoît Cédric Gérard Didier Hervé Grégory Mickaël Rémi Loïc Théo Hugo "
    "Lucas Clément Quentin Valentin Florian Kévin Anthony Gaël Noé Léo Raphaël Gabriel Adrien Baptiste "
    "Damien Étienne Fabien Gilles Henri Ismaël Joël Karim Lionel Marcel Norbert Octave Paul Régis Serge "
    "Tristan Urbain Victor Xavier Yann Yves Zacharie Ahmed Mehdi Rachid Sofiane Younès Bilal Amaury "
    "Bastien Corentin Dominique Edgar Fernand Gaspard Hippolyte Jules Léonard Maël Nathan Oscar Pacôme "
    "Roland Sylvain Tanguy"
).split()
_COMMON = (
    "Thomas Robert Richard Durand Dubois Moreau Laurent Simon Michel Lefebvre Leroy Roux Bertrand Morel "
    "Fournier Girard Bonnet Dupont Lambert Fontaine Rousseau Vincent Muller Lefèvre Mercier Blanc Guérin "
    "Boyer Garnier Chevalier François Legrand Gauthier Garcia Perrin Robin Morin Nicolas Henry Roussel "
    "Mathieu Gautier Masson Marchand Duval Denis Dumont Marie Lemaire Noël Meyer Dufour Meunier Brun "
    "Blanchard Giraud Joly Rivière Lucas Brunet Gaillard Barbier Arnaud Renard Picard Aubert Colin Vidal "
    "Lacroix Bourgeois Benoît Rolland Leclerc Caron Renaud Guillaume Dumas Lecomte Gérard Roche Fernandez "
    "Renault Deschamps Da-Silva Poirier Schmitt Royer Vasseur Adam Fabre Lopez Aubry Carpentier "
    "Charpentier Klein Bailly Boucher"
).split()

# Consonants, then vowels, then an ending with one vowel sound: a name can be split in one way only.
_ONSETS = "B Bl Br C Ch Cl Cr D Dr F Fl Fr G Gl Gr J L M N P Pl Pr R S T Tr V".split()
_NUCLEI = "a o i u é ai au eu ou oi".split()
_ENDINGS = (
    "bert court dal del doux fort gnac gnon guet lin lier lles lon mart mont nard naud ncourt ndel nier "
    "nquet quin rchon rel rin rtin sson teau val vert vin zac"
).split()

HOMONYMS = 0.0175
"""The chance that a person has another one's name; about twice as many people share a name."""


def capitals(text: str) -> str:
    """The name as some HR applications write it: in capitals, without accents."""
    return plain(text).upper()


def plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text.replace("œ", "oe"))
    return "".join(c for c in decomposed if not unicodedata.combining(c))


@dataclass(frozen=True, slots=True)
class Name:
    given: str
    surname: str
    civilite: str


class Names:
    """The names of a population of `people`; `name(index)` is the name of one of them."""

    def __init__(self, people: int, seed: int) -> None:
        self.count = people
        self.surnames: list[str] = []
        self._given = _given_names()
        self._spread = Spread(people, seed)
        self._upto = self._blocks()

    def name(self, index: int) -> Name:
        position = self._spread(index)
        block = bisect_right(self._upto, position)
        within = position - (self._upto[block - 1] if block else 0)
        return self._pair(block, within)

    def late(self, serial: int) -> Name:
        """The name of somebody who arrives later: a pair of names that nobody in the first population has."""
        block = (serial * 7919 + 11) % len(self.surnames)
        size = self._upto[block] - (self._upto[block - 1] if block else 0)
        return self._pair(block, size + serial // len(self.surnames))

    def surname(self, share: float) -> str:
        """Any surname, `share` from 0 to 1 of the way through the list."""
        return self.surnames[int(share * len(self.surnames))]

    def _pair(self, block: int, within: int) -> Name:
        # each surname starts at another given name, or everybody would be called Marie
        given, civilite = self._given[(block * 31 + within) % len(self._given)]
        return Name(given, self.surnames[block], civilite)

    def _blocks(self) -> list[int]:
        """The cumulated counts of the surnames: 0.4 % of the people for the first, then 1/rank, minimum 3."""
        sizes: list[int] = []
        seen: set[str] = set()
        ranks = count()
        remaining = self.count
        while remaining > 0:
            surname = _surname(next(ranks))
            address = plain(surname).lower().replace("'", "")
            if address in seen:  # some invented surnames are common ones too
                continue
            seen.add(address)
            rank = len(sizes)
            size = min(remaining, len(self._given) - 40, max(3, self.count // (10 * (rank + 25))))
            sizes.append(size)
            self.surnames.append(surname)
            remaining -= size
        return list(accumulate(sizes))


class Spread:
    """A one-to-one mapping of 0..count-1 on itself that looks shuffled."""

    def __init__(self, size: int, seed: int) -> None:
        self.count = max(1, size)
        self.offset = seed * 7919 % self.count
        self.step = max(1, self.count * 618 // 1000 + seed % 97)
        while gcd(self.step, self.count) != 1:
            self.step += 1

    def __call__(self, index: int) -> int:
        return (index * self.step + self.offset) % self.count


def _given_names() -> list[tuple[str, str]]:
    """(given name, civilité), alternately of women and men, with compound names among the others."""
    women = [(name, "MME") for name in _WOMEN] + [(f"Marie-{name}", "MME") for name in _WOMEN[1:40]]
    men = [(name, "M.") for name in _MEN] + [(f"Jean-{name}", "M.") for name in _MEN[1:40]]
    mixed = [pair for both in zip(women, men, strict=False) for pair in both]
    step = 47  # mixes short and compound ones
    while gcd(step, len(mixed)) != 1:
        step += 1
    return [mixed[i * step % len(mixed)] for i in range(len(mixed))]


def _surname(rank: int) -> str:
    if rank < len(_COMMON):
        return _COMMON[rank].replace("-", " ")
    number = rank - len(_COMMON)
    simple = _invented(number)
    if number % 60 == 7:
        return f"d'Hau{simple.lower()}"
    if number % 60 == 17:
        return f"de {simple}"
    if number % 60 == 27:
        return f"Le {simple}"
    if number % 30 == 13:
        return f"{simple}-{_COMMON[number % len(_COMMON)].replace('-', ' ')}"
    return simple


def _invented(number: int) -> str:
    number, onset = divmod(number, len(_ONSETS))
    number, nucleus = divmod(number, len(_NUCLEI))
    number, ending = divmod(number, len(_ENDINGS))
    # the onset changes with the ending, so that neighbours in the list do not look alike
    start = _ONSETS[(onset + ending * 5) % len(_ONSETS)] + _NUCLEI[nucleus]
    if number:
        number, second = divmod(number - 1, len(_ONSETS))
        number, vowel = divmod(number, len(_NUCLEI))
        start += _ONSETS[second].lower() + _NUCLEI[vowel]
        assert not number, "more surnames than there are syllables for"
    return start + _ENDINGS[(ending + nucleus * 7) % len(_ENDINGS)]
