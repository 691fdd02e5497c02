"""Why a score is what it is: contributions of features, and the reasons for a refusal."""
