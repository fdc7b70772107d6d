from memicos_engine.lazy_import import postpone_import

# SAELens imports it for training, which nothing here does; it takes a second
postpone_import("wandb")
