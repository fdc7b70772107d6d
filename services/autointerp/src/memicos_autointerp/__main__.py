"""`python -m memicos_autointerp [--env-file FILE]`: serve."""

from memicos_service.start_signals import end_quietly


def main() -> None:
    end_quietly("autointerp")
    # not above: it takes seconds, in which a signal would end in a traceback
    from memicos_autointerp.serve import main as serve

    serve()


if __name__ == "__main__":
    main()
