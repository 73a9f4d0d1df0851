"""Places for guests that stay ready between runs, instead of memory that is mapped and unmapped for each of them."""

from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

from wasmtime import Config, _ffi

_PLACE_BYTES = 10 << 30  # of address space: two memories and ten tables at their largest, and some to guard them


def keep_places(config: Config, most_guests: int) -> None:
    """Let the engine keep places for `most_guests` at once, unless this process may not reserve that many addresses.

    What a guest may use is limited by its store alone.
    """
    if not _can_reserve(_PLACE_BYTES * most_guests):  # the engine would end the process
        return
    sizes = {
        "total_core_instances": most_guests,
        "total_memories": 2 * most_guests,  # a guest's own, and one for what it lets the garbage collector manage
        "total_gc_heaps": most_guests,
        "total_tables": max(100, 10 * most_guests),
        "max_memory_size": 1 << 32,
        "max_tables_per_module": 100,
        "table_elements": 10_000_000,
        "max_core_instance_size": 1 << 30,
        # To zero this much costs less than to give it back to the kernel and to fault it in again.
        "linear_memory_keep_resident": 256 * 1024,
        "table_keep_resident": 64 * 1024,
    }
    places = _ffi.wasmtime_pooling_allocation_config_new()
    for name, size in sizes.items():
        getattr(_ffi, f"wasmtime_pooling_allocation_config_{name}_set")(places, size)
    _ffi.wasmtime_pooling_allocation_strategy_set(config.ptr(), places)
    _ffi.wasmtime_pooling_allocation_config_delete(places)


def _can_reserve(size: int) -> bool:
    try:
        mmap(-1, size, MAP_PRIVATE | MAP_ANONYMOUS, prot=0).close()
    except (OSError, OverflowError):
        return False
    return True
