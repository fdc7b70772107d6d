"""Every table of the webapp, so that migrations see them all."""

from types import ModuleType

from memicos_webapp.accounts import models as accounts
from memicos_webapp.bulk import models as bulk
from memicos_webapp.catalog import models as catalog
from memicos_webapp.database.base import Base
from memicos_webapp.dataset_uploads import models as dataset_uploads
from memicos_webapp.embeddings import models as embeddings
from memicos_webapp.explanations import models as explanations
from memicos_webapp.features import models as features
from memicos_webapp.inference_hosts import models as inference_hosts
from memicos_webapp.jobs import models as jobs
from memicos_webapp.provider_keys import models as provider_keys
from memicos_webapp.scores import models as scores
from memicos_webapp.vectors import models as vectors

ALL: tuple[ModuleType, ...] = (
    accounts,
    bulk,
    catalog,
    dataset_uploads,
    features,
    explanations,
    embeddings,
    inference_hosts,
    jobs,
    provider_keys,
    scores,
    vectors,
)

metadata = Base.metadata
