from __future__ import annotations

from protocol import errors
from protocol.errors import ErrorCode, UpscalerError


def test_every_error_is_in_the_one_tree_and_has_a_code() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    ours = [each for each in classes if issubclass(each, Exception)]
    assert len(ours) == 9
    for each in ours:
        assert issubclass(each, UpscalerError)
        assert each.__name__ in (errors.__doc__ or "")
        assert isinstance(each("sentence").code, ErrorCode)


def test_a_code_can_be_given() -> None:
    error = errors.BadRequestError("no", code=ErrorCode.UNKNOWN_METHOD)
    assert error.code is ErrorCode.UNKNOWN_METHOD
    assert str(error) == "no"
