int level = 70;
