from worker.core.unlearning import rome, memit, alphaedit, idk_dpo
from worker.core.unlearning._values import find_values
from worker.core.unlearning._memory import openings
from worker.contract.facts import Selection
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.core.findings import Job
def test_a(model, build_model, facts):
    JOB=Job(0,Quiet())
    for m in (model, build_model("llama")):
      for layer in (0,1,2):
        for clamp in (4.,20.):
          o=rome.Options(layer=layer,clamp=clamp,covariance_tokens=400,contexts=2)
          v=find_values(m, facts[:2], layer, openings(2,0), o, JOB)
          f=rome.unlearn(m, Selection(forget=facts[:1], retain=facts[1:]), None, o, JOB)
          print(m.id, layer, clamp, v.losses, v.delta.norm(dim=-1), v.before.norm(dim=-1), f.summary)
    mask=Mask(components=("blocks.0.mlp","blocks.1.mlp"))
    for w in (0.01,.1,1,20):
        f=memit.unlearn(model, Selection(forget=facts[:3], retain=facts[3:]), mask, memit.Options(moment_weight=w,clamp=20,covariance_tokens=400,contexts=2), JOB); print(w,f.summary)
    for w in (1e-3,.1,):
      for t in (.1,.5):
        f=alphaedit.unlearn(model, Selection(forget=facts[:3], retain=facts[3:]), mask, alphaedit.Options(ridge=w,threshold=t,clamp=20,covariance_tokens=400,contexts=2), JOB); print(w,t,f.summary)
    for lw in (1.,5.):
      for b in (.1,1.,):
        f=idk_dpo.unlearn(model, Selection(forget=facts[:2], retain=facts[2:]), mask, idk_dpo.Options(forget_weight=lw,beta=b,learning_rate=1e-2,steps=60,general_sentences=8,context=16,general_batch=2), JOB); print(lw,b,f.summary)
    assert 0
