def main(p,s): return 0
