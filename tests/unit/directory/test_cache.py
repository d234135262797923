"""The bounded map."""

from postroom.directory.cache import LruCache


def test_the_least_recently_used_goes_first() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)
    assert len(cache) == 2


def test_heavy_entries_push_out_many() -> None:
    cache: LruCache[str, int] = LruCache(10)
    for name in "abcdefghij":
        cache.put(name, 1)
    cache.put("big", 2, weight=8)
    assert len(cache) == 3
    assert cache.get("h") is None
    assert cache.get("i") == 1


def test_what_is_heavier_than_the_limit_is_not_kept_nor_what_it_replaces() -> None:
    cache: LruCache[str, int] = LruCache(3)
    cache.put("a", 1)
    cache.put("a", 2, weight=4)
    assert cache.get("a") is None
    cache.put("b", 1, weight=3)
    assert cache.get("b") == 1


def test_replacing_does_not_count_twice() -> None:
    cache: LruCache[str, int] = LruCache(2)
    for number in range(10):
        cache.put("a", number)
    cache.put("b", 1)
    assert (cache.get("a"), cache.get("b")) == (9, 1)


def test_drop_and_clear() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1, weight=2)
    cache.drop("a")
    cache.drop("never there")
    cache.put("b", 1)
    cache.put("c", 1)
    assert len(cache) == 2
    cache.clear()
    assert len(cache) == 0
    cache.put("d", 1, weight=2)
    assert cache.get("d") == 1
