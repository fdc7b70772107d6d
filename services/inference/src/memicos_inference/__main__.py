"""`python -m memicos_inference [--env-file FILE] [--list-configs]`: serve a model, or list the known env files."""

from memicos_service.start_signals import end_quietly


def main() -> None:
    end_quietly("inference")
    # not above: it takes seconds, in which a signal would end in a traceback
    from memicos_inference.serve import main as serve

    serve()


if __name__ == "__main__":
    main()
