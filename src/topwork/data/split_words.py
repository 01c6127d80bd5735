"""Words in the names of folders, files and columns that are no classes: splits, parts, images, annotations."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache


def _plain(text: str) -> str:
    """In lower case and without accents."""
    if text.isascii():
        return text.lower()
    return "".join(sign for sign in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(sign))


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORDS_OF = {
    "train": (
        "train training trainset trainingset traindata trainval trn trainingsdaten trainingsbilder entrenamiento "
        "treinamento treino entrainement apprentissage addestramento обучение тренировка "
        "eğitim تدريب التدريب treningowy trening trenovani traning latih pelatihan εκπαίδευση אימון प्रशिक्षण "
        "训练 训练集 训练数据 訓練 訓練集 学習 学習データ 훈련"
    ),
    "val": (
        "val valid validate validation valset validset validationset valdata dev devel devset development "
        "publictest "  # of Kaggle's FER2013, as privatetest below
        "doğrulama تحقق التحقق walidacja walidacyjny validace validering validasi "
        "validierung validierungsdaten validacion validacao validazione валидация 验证 验证集 驗證 驗證集 検証 검증"
    ),
    "test": (
        "اختبار الاختبار testowy testovaci testning uji pengujian δοκιμή परीक्षण "
        "test testing tests testset testingset testdata privatetest tst holdout testdaten testbilder prueba pruebas "
        "teste testes тест 测试 测试集 测试数据 測試 測試集 テスト テストデータ 테스트"
    ),
}
_SPLIT_OF = {_plain(word): split for split, words in _WORDS_OF.items() for word in words.split()}
_LETTER = r"[a-z\u0430-\u044f]"
_SPLIT = re.compile(f"(?<!{_LETTER})(?:{'|'.join(sorted(_SPLIT_OF, key=len, reverse=True))})(?!{_LETTER})")
_HOLD_OUT = re.compile(r"hold[-_ ]out", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SHORT = {"tr": "train", "te": "test", "va": "val", "vl": "val", "ts": "test"}  # only if all names are so
_EVALUATION = frozenset({"eval", "evaluation", "evalset"})  # the test set beside a validation set, else that
_IMAGES = _set("image images img imgs pic pics picture pictures photo photos jpg jpeg jpegs png files")
_FILLERS = _IMAGES | _set("set sets data dataset datasets folder folders dir split splits x the subset")
_AND = frozenset({"and", "und", "et", "y", "e"})
_ONE_SPLIT = ({"train"}, {"val"}, {"test"}, {"train", "val"})  # of "training and validation", all is for training
_OF_TESTS = frozenset({"public", "private", "seen", "unseen", "a", "b"})
_PARTS = _FILLERS | _set("part parts batch batches chunk fold folds volume vol shard shards disk disc")
_UNLABELED = _set(
    "pred predict prediction predictions unlabeled unlabelled nolabel nolabels submission submissions unsorted "
    "unsortiert unannotated untagged"
)
_MASKS = _set("mask masks trimap trimaps segmentation segmentations segmented gt groundtruth")
_OUTPUTS = _set("results output outputs figures plots runs logs checkpoints backup backups tmp temp")
_UNITS = _set(
    "patient patients case cases session sessions visit visits camera cameras cam clip clips sequence video videos "
    "epoch epochs step steps iter iteration iterations scene scenes run runs trial trials lot lots plate plates"
)
_ANNOTATIONS = _MASKS | _set(
    "thumbs thumbnail thumbnails preview previews "
    "annotation annotations annot annots label labels bbox bboxes box boxes xml xmls meta metadata doc docs"
)
_CAMERAS = _set(
    "dsc dscn dscf img image images pxl mvi gopr dji cimg imag photo picture pic whatsapp screenshot screen shot scan "
    "frame file untitled p im vid video hpim sam"
)
_ALBUMS = _set(
    "camera cameraroll roll dcim whatsapp telegram instagram signal screenshot screenshots download downloads pictures "
    "images photos bilder fotos"
)
_MONTHS = _set(
    "jan january januar feb february februar mar march marz apr april may mai jun june juni jul july juli aug august "
    "sep sept september oct october okt oktober nov november dec december dez dezember"
)
_DATE = re.compile(
    r"(?:19|20)\d\d([-_. ]?)(?:0[1-9]|1[0-2])\1[0-3]\d|(?:19|20)\d\d[-_.](?:0?[1-9]|1[0-2])|"
    r"[0-3]?\d[-_.][01]?\d[-_.](?:19|20)\d\d"
)
_OF_CAMERAS = re.compile(r"[1-9]\d\d[A-Z\d_]{5}")  # 100APPLE, as the standard for cameras has it


def words(name: str) -> list[str]:
    """The words of a name in lower case, without numbers: ``x_trainData2`` has x, train and data."""
    return list(_words(name))


@lru_cache(maxsize=2**16)
def _words(name: str) -> tuple[str, ...]:
    if _plain(name) in _SPLIT_OF:
        return (_plain(name),)
    parted = _CAMEL.sub(" ", _HOLD_OUT.sub("holdout", name))
    return tuple(_plain(word) for word in _WORD.findall(unicodedata.normalize("NFC", parted)))


def split_of(names: Iterable[str]) -> dict[str, str]:
    """The split that each of several names beside each other means; names that mean none are left out.

    What all of them share, numbers and words such as 'set' and 'images' count for nothing.

    >>> split_of(["seg_train", "seg_test", "seg_pred"])
    {'seg_train': 'train', 'seg_test': 'test'}
    >>> split_of(["TRAIN", "test1", "dev set"]), split_of(["cat", "training a dog"])
    ({'TRAIN': 'train', 'test1': 'test', 'dev set': 'val'}, {})
    """
    worded = {name: set(words(name)) - _FILLERS for name in names}
    shared = set.intersection(*worded.values()) if len(worded) > 1 else set()
    shared -= _SPLIT_OF.keys() | _EVALUATION
    found: dict[str, str] = {}
    evaluation, qualified = [], dict[str, list[str]]()
    for name, own in worded.items():
        own -= shared | _AND
        splits = {_SPLIT_OF[word] for word in own & _SPLIT_OF.keys()}
        if own and own <= _EVALUATION:
            evaluation.append(name)
        elif splits in _ONE_SPLIT and own <= _SPLIT_OF.keys():
            found[name] = "train" if "train" in splits else splits.pop()
        elif len(splits) == 1 and len(own) == 2 and not own & (_ANNOTATIONS | _UNLABELED):
            qualified.setdefault(splits.pop(), []).append(name)  # train_mini
    found |= dict.fromkeys(evaluation, "test" if "val" in found.values() else "val")
    for split, candidates in qualified.items():
        parts = all(set(words(name)) - _SPLIT_OF.keys() <= _OF_TESTS for name in candidates)  # test_public
        if found and split not in found.values() and (len(candidates) == 1 or (parts and split == "test")):
            found |= dict.fromkeys(candidates, split)
    if "train" not in found.values():
        found |= _of_pairs({name: own for name, own in worded.items() if name not in found})
    return {name: found[name] for name in worded if name in found}


def _of_pairs(worded: dict[str, set[str]]) -> dict[str, str]:
    """Splits of names that are the same but for the split, if there are no others such: boxes_train and boxes_test."""
    if len(worded) > 1 and all(own and own <= _SHORT.keys() for own in worded.values()):
        found = {name: _SHORT[own.copy().pop()] for name, own in worded.items() if len(own) == 1}
        return found if "train" in found.values() and len(set(found.values())) == len(worded) else {}
    pairs: dict[frozenset[str], dict[str, str]] = {}
    for name, own in worded.items():
        splits = {_SPLIT_OF[word] for word in own & _SPLIT_OF.keys()}
        if len(splits) == 1:
            pairs.setdefault(frozenset(own - _SPLIT_OF.keys()), {})[name] = splits.pop()
    whole = [found for found in pairs.values() if "train" in found.values() and len(set(found.values())) > 1]
    return whole[0] if len(whole) == len(pairs) == 1 and len(set(whole[0].values())) == len(whole[0]) else {}


def split_and_class(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Split and class of names that all have both: ``cats_train``, ``trainA``; none if some have not.

    >>> split_and_class(["cats_train", "cats_test", "dogs_train", "dogs_test"])["dogs_test"]
    ('test', 'dogs')
    """
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        own = words(name)
        marks = [word for word in own if word in _SPLIT_OF]
        if len(marks) != 1 or set(own) <= _FILLERS | set(marks):
            return {}
        rest = re.sub(re.escape(marks[0]), "", name, count=1, flags=re.IGNORECASE).strip(" _-.")
        found[name] = (_SPLIT_OF[marks[0]], rest)
    classes: dict[str, set[str]] = {}
    for split, rest in found.values():
        classes.setdefault(rest, set()).add(split)
    whole = sum("train" in splits and len(splits) > 1 for splits in classes.values())
    return found if len(classes) > 1 and 2 * whole > len(classes) and len(set(found.values())) == len(found) else {}


def split_name(text: str) -> str:
    """The split that a single word means, or an empty text."""
    return split_of([text]).get(text, "")


def split_in(name: str) -> str:
    """The split that the first such word of a longer name means, or an empty text.

    >>> split_in("faces-train-00003.tar"), split_in("TestImages.txt"), split_in("contest.csv")
    ('train', 'test', '')
    """
    found = _SPLIT.search(_plain(_CAMEL.sub(" ", name)))
    return _SPLIT_OF[found.group()] if found else ""


def common_splits(found: Iterable[str]) -> list[str]:
    """The splits of the parts of a data set; empty ones unless each part is of one, and train is one of several.

    >>> common_splits(["test", "train", "train"]), common_splits(["train", ""])
    (['test', 'train', 'train'], ['', ''])
    """
    splits = list(found)
    return splits if "train" in splits and all(splits) and len(set(splits)) > 1 else [""] * len(splits)


def without_split(name: str) -> str:
    """The name in lower case with ``{}`` for the word of a split, the same for the files of all splits."""
    return _SPLIT.sub("{}", _plain(_CAMEL.sub(" ", name)))


def is_unlabeled(name: str) -> bool:
    """Whether a name says that its images have no label: unlabeled, seg_pred."""
    return bool(_UNLABELED & set(words(name)))


def is_images(name: str) -> bool:
    """Whether a name says no more than that there are images."""
    own = set(words(name))
    return bool(own & _FILLERS) and own <= _FILLERS


def is_annotation(name: str) -> bool:
    """Whether a name means what belongs to images, such as boxes and masks."""
    own = set(words(name)) - _FILLERS - _SPLIT_OF.keys()
    return bool(own) and own <= _ANNOTATIONS | ({"class", "object"} if own & _MASKS else set())


def is_annotation_of(name: str, others: Iterable[str]) -> bool:
    """Whether a name is one of others with words for annotations after it, or has no other words: ``Trout GT``."""
    own = words(name)
    plain = [word for word in own if word not in _ANNOTATIONS]
    return is_annotation(name) or (0 < len(plain) < len(own) and any(words(other) == plain for other in others))


def is_output(name: str) -> bool:
    """Whether a name means what programs write."""
    own = set(words(name))
    return bool(own) and own <= _OUTPUTS


def is_mask(name: str) -> bool:
    """Whether a name contains a word for masks."""
    return bool(_MASKS & set(words(name)))


def is_camera(name: str) -> bool:
    """Whether a name has only words that cameras and programs give to files, or none."""
    return set(words(name)) <= _CAMERAS


def are_dates(names: Iterable[str]) -> bool:
    """Whether all names are days or months."""
    return all(
        _DATE.fullmatch(name) or (re.search(r"\d{4}", name) and set() != set(words(name)) <= _MONTHS) for name in names
    )


def are_parts(names: Iterable[str]) -> bool:
    """Whether names differ in numbers alone and call themselves parts, folds, patients and the like.

    So do those that a camera or a phone gives to folders, and dates.
    """
    names = list(names)
    if names and (are_dates(names) or all(_OF_CAMERAS.fullmatch(name) for name in names)):
        return True
    if len(names) > 1 and all(set() != set(_WORD.findall(_plain(name))) <= _ALBUMS for name in names):
        return True
    worded = [set(words(name)) for name in names]
    shared = set.intersection(*worded) if worded else set()
    if len(worded) > 1 and shared & _UNITS and all(own == shared for own in worded):
        return True
    return all(own & _PARTS and own - shared <= _PARTS for own in worded) and bool(worded)


def looks_like_id(name: str) -> bool:
    """Whether a name is a number, a date or has one: of a patient, a session."""
    return any(sign.isdigit() for sign in name) or len("".join(words(name))) < 2
