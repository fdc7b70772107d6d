"""`python -m memicos_webapp`: serve pages and API."""

from memicos_service.start_signals import end_quietly


def main() -> None:
    end_quietly("webapp")
    # not above: it takes seconds, in which a signal would end in a traceback
    from memicos_webapp.serve import main as serve

    serve()


if __name__ == "__main__":
    main()
