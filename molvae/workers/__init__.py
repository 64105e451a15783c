"""Those who score molecules while the search goes on: processes of this machine, or of many machines (`molvae worker`).

Nothing here knows how molecules are proposed, and a worker never loads torch.
"""
