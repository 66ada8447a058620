__thread int elsewhere = 40;
