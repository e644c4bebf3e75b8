from store_examples import TERMS, a_cell, an_epoch, current, trained


def test_the_best_epoch_is_the_earliest_of_equals(store):
    trained(store, a_cell(), tests=(0.25, 0.5, 0.5, 0.375))
    attempt = current(store, a_cell())
    assert (attempt.last_test_accuracy, attempt.best_test_accuracy, attempt.best_test_epoch) == (0.375, 0.5, 2)
    assert (attempt.best_val_test_accuracy, attempt.best_val_epoch) == (None, None)


def test_the_best_validation_epoch_gives_its_test_accuracy(store):
    claim = store.claim(a_cell(), **TERMS)
    tests, validations = (0.3, 0.4, 0.9, 0.5), (0.1, 0.8, 0.2, 0.8)
    pairs = zip(tests, validations, strict=True)
    rows = [an_epoch(i, test=t, validation=v) for i, (t, v) in enumerate(pairs, start=1)]
    store.record_epochs(claim, rows)
    store.finish(claim, "done")
    attempt = current(store, a_cell())
    assert (attempt.best_val_test_accuracy, attempt.best_val_epoch) == (0.4, 2)
    assert (attempt.best_test_accuracy, attempt.best_test_epoch) == (0.9, 3)


def test_the_accuracies_span_the_whole_lineage(store):
    trained(store, a_cell(), tests=(0.9,), state="interrupted")
    second = store.claim(a_cell(), **TERMS)
    store.record_epochs(second, [an_epoch(2, test=0.5)])
    store.finish(second, "done")
    attempt = current(store, a_cell())
    assert (attempt.best_test_accuracy, attempt.best_test_epoch, attempt.last_test_accuracy) == (0.9, 1, 0.5)


def test_an_attempt_without_an_epoch_has_no_accuracy(store):
    trained(store, a_cell(), tests=(), state="diverged")
    attempt = current(store, a_cell())
    assert (attempt.last_test_accuracy, attempt.best_test_accuracy, attempt.best_test_epoch) == (None, None, None)
    assert attempt.epochs_done == 0
