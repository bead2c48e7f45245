cd /work/setup/train
export OMP_NUM_THREADS=1
/work/setup/venv/bin/python -m tools.demo_model.train_video_vae --steps 1500 --rate 8e-4 > video.out 2>&1
