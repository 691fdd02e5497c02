import numpy as np, pandas as pd, time, lightgbm
from bentos import contract, intake, bundle, store
from tests import models
def test_it(frame, tmp_path):
    t=time.time()
    p = models.log(models.binary(frame), frame, tmp_path/"b", threshold=0.4)
    print("log", time.time()-t); t=time.time()
    i = intake.import_model(str(p), name="probe-x")
    print("import", time.time()-t)
    print(contract.dump(i.contract).decode())
def test_classes(frame):
    y = pd.Series(np.where(models.signal(frame)>5,"yes","no"))
    m = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(frame, y)
    print(m.classes_.dtype, m.classes_)
    print(intake.read_lightgbm(m)[:2])
